package custody

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/gowebpki/jcs"
)

// maxBytes is the longest leaf.
const maxBytes = 16_384

var (
	//go:embed audit-log-schema.json
	auditLogSchema []byte
	// leafCheck is the schema, compiled when the first leaf is read.
	leafCheck = sync.OnceValue(func() check { return compileSchema(auditLogSchema) })

	// nonLeafKeys are the keys of an export that are not the leaf's.
	nonLeafKeys = []string{
		"context_salt", "context_text", "identity", "identity_salt", "leaf_hash", "log_index", "on_behalf_of",
		"on_behalf_of_salt", "purpose", "purpose_salt", "reason_salt", "reason_text",
	}
	oneObject = &NotALeafError{Field: "leaf", Wanted: "one JSON object"}
	tooLong   = &NotALeafError{Field: "leaf", Wanted: "at most " + strconv.Itoa(maxBytes) + " bytes"}
)

// ReadLeaf returns the fields of the leaf whose bytes are data: string, bool, json.Number (an integer of at most 32
// bits), []any and map[string]any. It accepts exactly the bytes that the log can hold: written again, the fields give
// the same bytes. Everything else is refused with a *NotALeafError.
func ReadLeaf(data []byte) (map[string]any, error) {
	if len(data) > maxBytes {
		return nil, tooLong
	}
	// So no string is escaped, and no text has two spellings.
	if bytes.ContainsFunc(data, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return nil, &NotALeafError{Field: "leaf", Wanted: "visible ASCII without white space and backslashes"}
	}
	leaf, err := decode(data)
	if err != nil {
		return nil, err
	}
	again, err := encode(leaf)
	if err != nil {
		return nil, err
	}
	// What the parser smoothed over shows here: a key twice, keys out of order, 1e0 for 1, bytes behind the object.
	if !bytes.Equal(again, data) {
		return nil, &NotALeafError{Field: "leaf", Wanted: "in its canonical form (RFC 8785)"}
	}
	return leaf, nil
}

// encode is the bytes of the leaf with these fields, as decode reads them.
func encode(leaf map[string]any) ([]byte, error) {
	for _, key := range nonLeafKeys {
		if _, is := leaf[key]; is {
			return nil, &NotALeafError{Field: key, Wanted: "absent"}
		}
	}
	// The schema describes a leaf in its exported form, so what an export holds beside it is put in valid places.
	exported := maps.Clone(leaf)
	exported["leaf_hash"], exported["log_index"] = strings.Repeat("0", 64), "0"
	if refusal := leafCheck()(exported, ""); refusal != nil {
		return nil, refusal
	}
	// Only now: what fits the schema is nested three deep at most, and holds no number that has two forms.
	text, err := json.Marshal(leaf)
	if err != nil {
		return nil, oneObject
	}
	data, err := jcs.Transform(text)
	if err != nil {
		return nil, oneObject
	}
	if len(data) > maxBytes {
		return nil, tooLong
	}
	return data, nil
}

func decode(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	// A float64 would not say whether it was written as 1, 1.0 or 1e0.
	decoder.UseNumber()
	var leaf map[string]any
	if err := decoder.Decode(&leaf); err != nil || leaf == nil {
		return nil, oneObject
	}
	return leaf, nil
}
