package custody

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
)

type leafVector struct {
	Name      string         `json:"name"`
	Fields    map[string]any `json:"fields"`
	LeafBytes string         `json:"leaf_bytes"`
	LeafHash  string         `json:"leaf_hash"`
}

type exportVector struct {
	Name     string         `json:"name"`
	Why      string         `json:"why"`
	LeafHash string         `json:"leaf_hash"`
	Export   map[string]any `json:"export"`
}

type vectors struct {
	Leaves         []leafVector   `json:"leaves"`
	Refused        []refused      `json:"refused"`
	Exports        []exportVector `json:"exports"`
	RefusedExports []exportVector `json:"refused_exports"`
	Commitments    []struct{ Salt, Text, Commitment string }
}

type refused struct {
	Why       string `json:"why"`
	LeafBytes string `json:"leaf_bytes"`
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	content, err := os.ReadFile("../../conformance/custody-leaf.json")
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var read vectors
	if err := decoder.Decode(&read); err != nil {
		t.Fatal(err)
	}
	return read
}

func (v vectors) leaf(t *testing.T, kind string) leafVector {
	t.Helper()
	for _, one := range v.Leaves {
		if one.Fields["kind"] == kind {
			return one
		}
	}
	t.Fatalf("no leaf of the vectors is a %s event", kind)
	return leafVector{}
}

// mustRefuse fails where err is no *NotALeafError.
func mustRefuse(t *testing.T, err error) {
	t.Helper()
	var why *NotALeafError
	if !errors.As(err, &why) {
		t.Errorf("expected a NotALeafError, got %v", err)
	} else if why.Field == "" || why.Wanted == "" {
		t.Errorf("it says too little: %v", err)
	}
}

func TestVectorsAreReadAndHashed(t *testing.T) {
	read := readVectors(t)
	for _, one := range read.Leaves {
		t.Run(one.Name, func(t *testing.T) {
			fields, err := ReadLeaf([]byte(one.LeafBytes))
			if err != nil || !reflect.DeepEqual(fields, one.Fields) {
				t.Errorf("read as %v, %v", fields, err)
			}
			if hash := LeafHash([]byte(one.LeafBytes)); hash != one.LeafHash {
				t.Errorf("hashed to %s", hash)
			}
		})
	}
	for _, one := range read.Commitments {
		salt, err := hex.DecodeString(one.Salt)
		if err != nil || Commitment([SaltBytes]byte(salt), one.Text) != one.Commitment {
			t.Errorf("another commitment to %q", one.Text)
		}
	}
}

func TestVectorsAreRefused(t *testing.T) {
	read := readVectors(t)
	for _, one := range read.Refused {
		t.Run(one.Why, func(t *testing.T) {
			_, err := ReadLeaf([]byte(one.LeafBytes))
			mustRefuse(t, err)
		})
	}
	for _, one := range read.RefusedExports {
		t.Run(one.Why, func(t *testing.T) {
			_, err := LeafFromExport(one.Export)
			mustRefuse(t, err)
		})
	}
}

func TestExportsGiveTheirLeafBack(t *testing.T) {
	for _, one := range readVectors(t).Exports {
		t.Run(one.Name, func(t *testing.T) {
			before := maps.Clone(one.Export)
			text, err := json.Marshal(one.Export)
			if err != nil {
				t.Fatal(err)
			}
			// Once with json.Number, once with the float64 of plain encoding/json.
			var plain map[string]any
			if err := json.Unmarshal(text, &plain); err != nil {
				t.Fatal(err)
			}
			for _, event := range []map[string]any{one.Export, plain} {
				data, err := LeafFromExport(event)
				if err != nil || LeafHash(data) != one.LeafHash {
					t.Errorf("%v", err)
				}
				if _, err := ReadLeaf(data); err != nil {
					t.Error(err)
				}
			}
			if !reflect.DeepEqual(before, one.Export) {
				t.Error("the event was changed")
			}
		})
	}
}

func TestTrapsAreRefused(t *testing.T) {
	manifest := readVectors(t).leaf(t, "manifest").LeafBytes
	within := func(text string) string { return manifest[:20] + text + manifest[20:] }
	for _, text := range []string{
		manifest + "\n", manifest + "\r\n", " " + manifest, manifest + "\x00", "\ufeff" + manifest,
		within("\xff"), within("\xed\xa0\x80"), within("\xc0\xae"), within("\ufffd"),
		strings.Repeat("[", 100_000), strings.Repeat("[", 16_384), strings.Repeat(`{"action":`, 1_600),
		strings.Repeat("[", 8_192) + strings.Repeat("]", 8_192),
		`{"action":` + strings.Repeat("9", 16_000) + "}",
	} {
		_, err := ReadLeaf([]byte(text))
		mustRefuse(t, err)
	}
	_, err := ReadLeaf(nil)
	mustRefuse(t, err)
	for _, event := range []map[string]any{nil, {}, {"log_index": "0", "a": math.NaN()}, {"log_index": "0", "a": t}} {
		_, err := LeafFromExport(event)
		mustRefuse(t, err)
	}
}

func TestALeafHasAtMost16384Bytes(t *testing.T) {
	fields := readVectors(t).leaf(t, "manifest").Fields
	rules := []any{"z"}
	for len(rules) < 123 {
		rules = append(rules, strings.Repeat("x", 128))
	}
	fields["rule_ids"] = rules
	rules[0] = strings.Repeat("z", 1+maxBytes-len(encoded(t, fields)))
	if _, err := ReadLeaf(encoded(t, fields)); err != nil {
		t.Error(err)
	}
	rules[0] = rules[0].(string) + "z"
	_, err := ReadLeaf(encoded(t, fields))
	mustRefuse(t, err)
	fields["log_index"], fields["leaf_hash"] = "0", LeafHash(encoded(t, fields))
	if _, err := LeafFromExport(fields); !errors.Is(err, tooLong) {
		t.Errorf("%v", err)
	}
}

func TestAFlippedBitIsRefusedOrAnotherLeaf(t *testing.T) {
	for _, one := range readVectors(t).Leaves {
		for place := range len(one.LeafBytes) {
			other := []byte(one.LeafBytes)
			other[place] ^= 1 << (place % 8)
			if fields, err := ReadLeaf(other); err == nil && reflect.DeepEqual(fields, one.Fields) {
				t.Errorf("%s: a flipped bit at %d changes nothing", one.Name, place)
			} else if err != nil {
				mustRefuse(t, err)
			}
		}
	}
}

func TestARemovedFieldIsMissedAndAnAddedOneRefused(t *testing.T) {
	for _, one := range readVectors(t).Leaves {
		for _, part := range parts(one.Fields) {
			for name, value := range maps.Clone(part) {
				delete(part, name)
				data := encoded(t, one.Fields)
				if fields, err := ReadLeaf(data); err == nil && !reflect.DeepEqual(fields, one.Fields) {
					t.Errorf("%s without %s is read as %v", one.Name, name, fields)
				}
				part[name] = nil
				_, err := ReadLeaf(encoded(t, one.Fields))
				mustRefuse(t, err)
				part[name] = value
			}
			for _, name := range []string{"zz", ""} {
				part[name] = "x"
				_, err := ReadLeaf(encoded(t, one.Fields))
				mustRefuse(t, err)
				delete(part, name)
			}
		}
		for _, name := range []string{"event_id", "kind", "received_time", "schema", "timestamp"} {
			fields := maps.Clone(one.Fields)
			delete(fields, name)
			_, err := ReadLeaf(encoded(t, fields))
			mustRefuse(t, err)
		}
	}
}

func TestAnExportHasIntegersAndText(t *testing.T) {
	for _, one := range readVectors(t).Exports {
		if rollout, is := one.Export["rollout"].(map[string]any); is {
			for _, value := range []any{json.Number("30.0"), json.Number("-0"), json.Number("3e1"), 30.5, "30", true, nil} {
				rollout["percent"] = value
				_, err := LeafFromExport(one.Export)
				mustRefuse(t, err)
			}
		}
		if _, is := one.Export["purpose"]; is {
			one.Export["purpose"] = "\xff"
			_, err := LeafFromExport(one.Export)
			mustRefuse(t, err)
		}
	}
}

func TestARefusalNeverRepeatsTheValue(t *testing.T) {
	fields := readVectors(t).leaf(t, "manifest").Fields
	fields["operator_id"] = "Alice"
	_, err := ReadLeaf(encoded(t, fields))
	if text := err.Error(); !strings.Contains(text, "operator_id must be an id that people choose") ||
		strings.Contains(text, "Alice") {
		t.Error(text)
	}
}

func TestASchemaThatIsNotUnderstoodIsNotUsed(t *testing.T) {
	for _, text := range []string{`{"maxProperties": 2}`, `{"pattern": "a"}`, `{"const": 1}`, `{"not": {"type": "string"}}`} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was compiled", text)
				}
			}()
			compileSchema([]byte(text))
		}()
	}
}

// encoded is fields as a leaf is written, also where they are none: encoding/json sorts keys and adds no white space.
func encoded(t *testing.T, fields map[string]any) []byte {
	t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(fields); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// parts are all objects within value.
func parts(value any) []map[string]any {
	var found []map[string]any
	switch value := value.(type) {
	case map[string]any:
		found = append(found, value)
		for _, inner := range value {
			found = append(found, parts(inner)...)
		}
	case []any:
		for _, inner := range value {
			found = append(found, parts(inner)...)
		}
	}
	return found
}
