package custody

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// check says of a value at a path why it does not fit; nil where it does.
type check func(value any, path string) *NotALeafError

// schema is as much of a schema as is known here. Decoding refuses every other keyword.
type schema struct {
	Schema      string `json:"$schema"`
	ID          string `json:"$id"`
	Title       string `json:"title"`
	Description string `json:"description"`

	Defs                 map[string]*schema  `json:"$defs"`
	Ref                  string              `json:"$ref"`
	Type                 string              `json:"type"`
	Const                *string             `json:"const"`
	Enum                 []string            `json:"enum"`
	Pattern              string              `json:"pattern"`
	MaxLength            *int                `json:"maxLength"`
	Minimum              *int64              `json:"minimum"`
	Maximum              *int64              `json:"maximum"`
	MinItems             *int                `json:"minItems"`
	MaxItems             *int                `json:"maxItems"`
	Items                *schema             `json:"items"`
	Properties           map[string]*schema  `json:"properties"`
	AdditionalProperties *bool               `json:"additionalProperties"`
	Required             []string            `json:"required"`
	DependentRequired    map[string][]string `json:"dependentRequired"`
	Not                  *schema             `json:"not"`
	AnyOf                []*schema           `json:"anyOf"`
	AllOf                []*schema           `json:"allOf"`
	If                   *schema             `json:"if"`
	Then                 *schema             `json:"then"`
}

// keywords are the checks of the keywords that look at one value and at no other schema, in an order that is the same
// in every client. As in JSON Schema, a keyword lets values of a type that it does not speak of through.
func (s *schema) keywords() []check {
	var checks []check
	if s.Type != "" {
		checks = append(checks, ofType(s.Type))
	}
	if s.Const != nil {
		checks = append(checks, oneOf([]string{*s.Const}))
	}
	if s.Enum != nil {
		checks = append(checks, oneOf(s.Enum))
	}
	if s.Pattern != "" {
		checks = append(checks, s.pattern())
	}
	if most := s.MaxLength; most != nil {
		fits := func(text string) bool { return utf8.RuneCountInString(text) <= *most }
		checks = append(checks, holds(fmt.Sprintf("at most %d characters", *most), fits))
	}
	if least := s.Minimum; least != nil {
		checks = append(checks, ranged(fmt.Sprintf("at least %d", *least), *least, math.MaxInt64))
	}
	if most := s.Maximum; most != nil {
		checks = append(checks, ranged(fmt.Sprintf("at most %d", *most), math.MinInt64, *most))
	}
	if least := s.MinItems; least != nil {
		fits := func(list []any) bool { return len(list) >= *least }
		checks = append(checks, holds(fmt.Sprintf("a list of at least %d", *least), fits))
	}
	if most := s.MaxItems; most != nil {
		fits := func(list []any) bool { return len(list) <= *most }
		checks = append(checks, holds(fmt.Sprintf("a list of at most %d", *most), fits))
	}
	if s.Not != nil {
		checks = append(checks, s.not())
	}
	return append(checks, s.required, s.dependent)
}

// wanted is what the schema says of itself, to follow "must be".
func (s *schema) wanted() string {
	words := strings.TrimSuffix(s.Description, ".")
	return strings.ToLower(words[:1]) + words[1:]
}

func holds[T any](wanted string, fits func(T) bool) check {
	return func(value any, path string) *NotALeafError {
		if typed, is := value.(T); is && !fits(typed) {
			return &NotALeafError{path, wanted}
		}
		return nil
	}
}

func ranged(wanted string, least, most int64) check {
	return holds(wanted, func(number json.Number) bool {
		value, err := number.Int64()
		return err == nil && least <= value && value <= most
	})
}

func ofType(name string) check {
	is, known := types[name]
	if !known {
		panic(unsupported("a type that is not known"))
	}
	return func(value any, path string) *NotALeafError {
		if is.fits(value) {
			return nil
		}
		return &NotALeafError{path, is.wanted}
	}
}

func oneOf(words []string) check {
	wanted := "one of the words that the schema lists"
	if len(words) < 8 {
		wanted = strings.Join(words, " or ")
	}
	return func(value any, path string) *NotALeafError {
		if word, is := value.(string); is && slices.Contains(words, word) {
			return nil
		}
		return &NotALeafError{path, wanted}
	}
}

func (s *schema) pattern() check {
	if !strings.HasPrefix(s.Pattern, "^") || !strings.HasSuffix(s.Pattern, "$") {
		panic(unsupported("a pattern that is not anchored"))
	}
	return holds(s.wanted(), regexp.MustCompile(s.Pattern).MatchString)
}

func (s *schema) not() check {
	if s.Not.Const == nil {
		panic(unsupported("a not that is no const"))
	}
	return holds(s.wanted(), func(word string) bool { return word != *s.Not.Const })
}

func (s *schema) required(value any, path string) *NotALeafError {
	object, is := value.(map[string]any)
	for _, name := range s.Required {
		if _, stated := object[name]; is && !stated {
			return &NotALeafError{join(path, name), "stated"}
		}
	}
	return nil
}

func (s *schema) dependent(value any, path string) *NotALeafError {
	object, _ := value.(map[string]any)
	for _, given := range slices.Sorted(maps.Keys(s.DependentRequired)) {
		if _, stated := object[given]; !stated {
			continue
		}
		for _, name := range s.DependentRequired[given] {
			if _, stated := object[name]; !stated {
				return &NotALeafError{join(path, name), "stated together with " + given}
			}
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
