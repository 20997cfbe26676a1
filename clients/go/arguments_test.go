package countersign

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

type canonicalCase struct {
	Name        string  `json:"name"`
	JSON        string  `json:"json"`
	SHA256      string  `json:"sha256"`
	Canonical   *string `json:"canonical"`
	Path        *string `json:"path"`
	TextOnly    bool    `json:"text_only"`
	TextRefuses bool    `json:"text_refuses"`
}

func canonicalCases(t *testing.T) []canonicalCase {
	t.Helper()
	content, err := os.ReadFile("../conformance/canonical.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Cases []canonicalCase `json:"cases"`
	}
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	return vectors.Cases
}

func agree(t *testing.T, one canonicalCase, arguments any, refused bool) {
	t.Helper()
	hash, err := RequestHash(arguments)
	if refused {
		var why *UnhashableArgumentsError
		if !errors.As(err, &why) {
			t.Fatalf("hashed to %x", hash)
		}
		if one.Path != nil && *one.Path != why.Path {
			t.Errorf("refused at %q, expected %q", why.Path, *one.Path)
		}
		return
	}
	if err != nil || hex.EncodeToString(hash) != one.SHA256 {
		t.Errorf("%x, %v", hash, err)
	}
	if form, _ := CanonicalArguments(arguments); one.Canonical != nil && string(form) != *one.Canonical {
		t.Errorf("%s", form)
	}
}

func TestCanonicalArgumentsAgree(t *testing.T) {
	for _, one := range canonicalCases(t) {
		t.Run(one.Name+"/text", func(t *testing.T) {
			agree(t, one, json.RawMessage(one.JSON), one.SHA256 == "" || one.TextRefuses)
		})
		var value map[string]any
		// Go's parser replaces half a surrogate pair before anybody can see it.
		lone := strings.HasPrefix(one.Name, "lone") || one.Name == "swapped"
		if one.TextOnly || lone || json.Unmarshal([]byte(one.JSON), &value) != nil || value == nil {
			continue
		}
		t.Run(one.Name+"/value", func(t *testing.T) { agree(t, one, value, one.SHA256 == "") })
	}
}

type colour int

func (colour) MarshalText() ([]byte, error) { return []byte("red"), nil }

type cyclic struct{ Next *cyclic }

func TestNothingIsCoerced(t *testing.T) {
	cycle := &cyclic{}
	cycle.Next = cycle
	for name, one := range map[string]struct {
		value any
		path  string
	}{
		"bytes":              {map[string]any{"v": []byte("a")}, "v"},
		"an array of bytes":  {map[string]any{"v": [2]byte{}}, "v"},
		"a time":             {map[string]any{"v": time.Now()}, "v"},
		"a big integer":      {map[string]any{"v": big.NewInt(1)}, "v"},
		"a text marshaler":   {map[string]any{"v": colour(1)}, "v"},
		"a function":         {map[string]any{"v": func() {}}, "v"},
		"a channel":          {map[string]any{"v": make(chan int)}, "v"},
		"a complex number":   {map[string]any{"v": 1i}, "v"},
		"no number":          {map[string]any{"v": math.NaN()}, "v"},
		"infinity":           {map[string]any{"v": math.Inf(-1)}, "v"},
		"beyond 2^53-1":      {map[string]any{"v": []any{0, map[string]uint64{"w": 1 << 53}}}, "v[1].w"},
		"a number as text":   {map[string]any{"v": json.Number("9007199254740993")}, "v"},
		"a key that is none": {map[string]any{"v": map[int]int{1: 2}}, "v"},
		"no UTF-8":           {map[string]any{"v": "\xed\xa0\x80"}, "v"},
		"no UTF-8 in a key":  {map[string]any{"\xff": 1}, ""},
		"a string by tag": {struct {
			V int `json:"v,string"`
		}{1}, "v"},
		"twice in raw text": {map[string]any{"v": json.RawMessage(`{"a":1,"\u0061":2}`)}, "v.a"},
		"within itself":     {cycle, strings.TrimSuffix(strings.Repeat("Next.", 64), ".")},
		"a list":            {[]int{1}, ""},
		"nothing":           {nil, ""},
		"text":              {"x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := RequestHash(one.value)
			var why *UnhashableArgumentsError
			if !errors.As(err, &why) || why.Path != one.path {
				t.Errorf("%v, expected one at %q", err, one.path)
			}
		})
	}
}

func TestStructsAreTheirTags(t *testing.T) {
	type inner struct {
		B *int `json:"b"`
	}
	arguments := struct {
		inner
		Ticket int      `json:"ticket"`
		Absent []string `json:"absent,omitempty"`
		Hidden []byte   `json:"-"`
		secret []byte
	}{Ticket: 4711, Hidden: []byte{1}, secret: []byte{1}}
	form, err := CanonicalArguments(&arguments)
	if err != nil || string(form) != `{"b":null,"ticket":4711}` {
		t.Errorf("%s, %v", form, err)
	}
}

func TestCanonicalFormIsBounded(t *testing.T) {
	if form, err := CanonicalArguments(map[string]string{"v": strings.Repeat("x", 1<<20-8)}); len(form) != 1<<20 {
		t.Error(len(form), err)
	}
	if _, err := CanonicalArguments(map[string]string{"v": strings.Repeat("x", 1<<20-7)}); err == nil {
		t.Error("longer than 1 MiB, and hashed")
	}
}
