package countersign

import (
	"crypto/sha256"
	"encoding/json"

	"github.com/gowebpki/jcs"
)

const (
	// maxDepth is the deepest nesting: an object that holds only scalars has depth 1.
	maxDepth = 64
	// maxCanonicalBytes is the longest canonical form.
	maxCanonicalBytes = 1 << 20
	// maxInteger is the largest integer, in either direction, that every JSON parser reads as itself.
	maxInteger = 1<<53 - 1

	tooLarge = "it is a number beyond 2^53-1, which other parsers round; send it as a string"
	tooDeep  = "it is nested deeper than 64, or within itself"
)

// UnhashableArgumentsError says that arguments have no canonical form. It is no denial: nothing was asked, and the call
// must not be made.
type UnhashableArgumentsError struct {
	// Path is where: items[2].amount. Empty: the arguments as a whole.
	Path string
	// Why is what is wrong there.
	Why string
}

func (e *UnhashableArgumentsError) Error() string {
	if e.Path == "" {
		return "countersign: arguments have no canonical form: " + e.Why
	}
	return "countersign: arguments have no canonical form: " + e.Path + ": " + e.Why
}

// CanonicalArguments returns the RFC 8785 form of the arguments of a call, which are one JSON object: a struct or a map
// with string keys, or text as json.RawMessage, which must have one reading (no key twice, no number that another parser
// rounds). Fields that encoding/json leaves out are absent. Nothing is coerced: bytes, times, and whatever marshals itself
// are refused with an *UnhashableArgumentsError, as is every value that JSON cannot hold. docs/verification.md has the rule.
func CanonicalArguments(arguments any) ([]byte, error) {
	text, err := argumentsText(arguments)
	if err != nil {
		return nil, err
	}
	if err := checkText(text); err != nil {
		return nil, err
	}
	form, err := jcs.Transform(text)
	if err != nil {
		return nil, &UnhashableArgumentsError{Why: err.Error()}
	}
	if len(form) > maxCanonicalBytes {
		return nil, &UnhashableArgumentsError{Why: "they are longer than 1 MiB in canonical form"}
	}
	return form, nil
}

// RequestHash returns the SHA-256 of CanonicalArguments: what DecideRequest.RequestHash takes.
func RequestHash(arguments any) ([]byte, error) {
	form, err := CanonicalArguments(arguments)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(form)
	return hash[:], nil
}

// argumentsText is the arguments as JSON: checked for what encoding/json would coerce, then written by it.
func argumentsText(arguments any) ([]byte, error) {
	if text, is := arguments.(json.RawMessage); is {
		return text, nil
	}
	if err := checkValue(arguments); err != nil {
		return nil, err
	}
	text, err := json.Marshal(arguments)
	if err != nil {
		return nil, &UnhashableArgumentsError{Why: err.Error()}
	}
	return text, nil
}
