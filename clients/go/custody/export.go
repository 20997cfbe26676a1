package custody

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// disclosed names a text beside a leaf: the keys of the text, of its salt, and of the leaf's commitment to it.
type disclosed struct{ text, salt, commitment string }

var (
	texts = []disclosed{
		{"purpose", "purpose_salt", "purpose_commitment"},
		// reason is the leaf's own reason code.
		{"reason_text", "reason_salt", "reason_commitment"},
		{"identity", "identity_salt", "identity_commitment"},
		// context is the leaf's own list of recorded attributes.
		{"context_text", "context_salt", "context_commitment"},
		{"on_behalf_of", "on_behalf_of_salt", "on_behalf_of_commitment"},
	}
	saltDigits = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// LeafFromExport returns the bytes of the leaf of an exported event, as encoding/json reads one line of an export, with
// or without UseNumber. The event stays as it is.
//
// It refuses, with a *NotALeafError: what is no leaf without the keys around the leaf, a leaf_hash that is not the
// leaf's, and a disclosed text that is not the one that the leaf commits to.
func LeafFromExport(event map[string]any) ([]byte, error) {
	fields := maps.Clone(event)
	commitments := map[disclosed]string{}
	for _, one := range texts {
		opened, err := one.take(fields)
		if err != nil {
			return nil, err
		}
		if opened != "" {
			commitments[one] = opened
		}
	}
	index, _ := fields["log_index"].(string)
	if number, err := strconv.ParseUint(index, 10, 64); err != nil || strconv.FormatUint(number, 10) != index {
		return nil, &NotALeafError{Field: "log_index", Wanted: "a 64-bit integer as a string of decimal digits"}
	}
	stated := fields["leaf_hash"]
	delete(fields, "log_index")
	delete(fields, "leaf_hash")
	data, err := encodeExported(fields)
	if err != nil {
		return nil, err
	}
	if stated != LeafHash(data) {
		return nil, &NotALeafError{Field: "leaf_hash", Wanted: "the hash of this leaf"}
	}
	for _, one := range texts {
		if opened, is := commitments[one]; is && fields[one.commitment] != opened {
			return nil, &NotALeafError{Field: one.text, Wanted: "the text that the leaf commits to"}
		}
	}
	return data, nil
}

// encodeExported is encode, of fields whose numbers may be of any type of Go.
func encodeExported(fields map[string]any) ([]byte, error) {
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, oneObject
	}
	leaf, err := decode(text)
	if err != nil {
		return nil, err
	}
	return encode(leaf)
}

// take takes the text and its salt out of fields and returns their commitment; nothing where neither is there.
func (d disclosed) take(fields map[string]any) (string, error) {
	text, hasText := fields[d.text]
	salt, hasSalt := fields[d.salt]
	if !hasText && !hasSalt {
		return "", nil
	}
	delete(fields, d.text)
	delete(fields, d.salt)
	words, isWords := text.(string)
	digits, isDigits := salt.(string)
	if !isWords || !isDigits {
		return "", &NotALeafError{Field: d.text, Wanted: "a string, with its salt beside it"}
	}
	if !saltDigits.MatchString(digits) {
		return "", &NotALeafError{Field: d.salt, Wanted: "32 lower-case hexadecimal digits"}
	}
	if !utf8.ValidString(words) {
		return "", &NotALeafError{Field: d.text, Wanted: "text that UTF-8 can hold"}
	}
	var bytes [SaltBytes]byte
	if _, err := hex.Decode(bytes[:], []byte(digits)); err != nil {
		return "", &NotALeafError{Field: d.salt, Wanted: "32 lower-case hexadecimal digits"}
	}
	return Commitment(bytes, words), nil
}
