package custody

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// As much of JSON Schema (draft 2020-12) as docs/audit-log-schema.json uses, compiled to functions.
//
// Not a library's, because the schema must mean the same in every client. Libraries leave patterns to the language's
// own regular expressions, some of which let a line feed through at a $, and their messages repeat the refused value,
// which may be a text that must not be logged. A keyword that is not known here is an error, so a schema that grows is
// never half understood.

// schemaType is a type of JSON Schema: what is of it, and how it is called in a refusal.
type schemaType struct {
	fits   func(value any) bool
	wanted string
}

var types = map[string]schemaType{
	"object":  {is[map[string]any], "an object"},
	"array":   {is[[]any], "a list"},
	"string":  {is[string], "a string"},
	"integer": {isInteger, "an integer"},
	"boolean": {is[bool], "true or false"},
}

// compileSchema panics where the schema has what is not known here: the package is not usable then.
func compileSchema(text []byte) check {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var root schema
	if err := decoder.Decode(&root); err != nil {
		panic(unsupported(err.Error()))
	}
	return root.compile(root.Defs)
}

// compile puts the keywords that hold schemas behind the others, in an order that is the same in every client.
func (s *schema) compile(defs map[string]*schema) check {
	checks := s.keywords()
	if s.Ref != "" {
		name := named(s.Ref)
		checks = append(checks, defs[name].compile(defs))
		if further, is := each[name]; is {
			checks = append(checks, further)
		}
	}
	if s.Items != nil {
		checks = append(checks, items(s.Items.compile(defs), order[named(s.Items.Ref)]))
	}
	if s.Properties != nil {
		checks = append(checks, s.properties(defs))
	}
	if s.AnyOf != nil {
		checks = append(checks, anyOf(compileAll(s.AnyOf, defs)))
	}
	checks = append(checks, compileAll(s.AllOf, defs)...)
	if s.If != nil {
		checks = append(checks, conditional(s.If.compile(defs), s.Then.compile(defs)))
	}
	return every(checks)
}

func compileAll(schemas []*schema, defs map[string]*schema) []check {
	checks := make([]check, len(schemas))
	for nth, one := range schemas {
		checks[nth] = one.compile(defs)
	}
	return checks
}

func (s *schema) properties(defs map[string]*schema) check {
	names := slices.Sorted(maps.Keys(s.Properties))
	checks := map[string]check{}
	for name, one := range s.Properties {
		checks[name] = one.compile(defs)
	}
	closed := s.AdditionalProperties != nil && !*s.AdditionalProperties
	return func(value any, path string) *NotALeafError {
		object, _ := value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if _, known := checks[name]; closed && !known {
				return unknown(path, name)
			}
		}
		for _, name := range names {
			if inner, stated := object[name]; stated {
				if refusal := checks[name](inner, join(path, name)); refusal != nil {
					return refusal
				}
			}
		}
		return nil
	}
}

// items are those of a list that is sorted by keys, or in any order where keys is nil.
func items(item check, keys []string) check {
	return func(value any, path string) *NotALeafError {
		list, _ := value.([]any)
		names := make([]string, len(list))
		for nth, one := range list {
			if refusal := item(one, path); refusal != nil {
				return refusal
			}
			names[nth] = nameOf(one, keys)
		}
		for nth := range max(len(names), 1) - 1 {
			if keys != nil && names[nth] >= names[nth+1] {
				return &NotALeafError{path, sortedBy(keys)}
			}
		}
		return nil
	}
}

// nameOf is what an item is sorted by. No name holds a line feed, so joined names have the order of the pairs.
func nameOf(item any, keys []string) string {
	if len(keys) == 0 {
		name, _ := item.(string)
		return name
	}
	names := make([]string, len(keys))
	for nth, key := range keys {
		names[nth], _ = item.(map[string]any)[key].(string)
	}
	return strings.Join(names, "\n")
}

func sortedBy(keys []string) string {
	if len(keys) == 0 {
		return "sorted, each once"
	}
	return "sorted by " + strings.Join(keys, " and ") + ", each once"
}

func anyOf(checks []check) check {
	return func(value any, path string) *NotALeafError {
		wanted := make([]string, len(checks))
		for nth, one := range checks {
			refusal := one(value, path)
			if refusal == nil {
				return nil
			}
			wanted[nth] = refusal.Field + " is " + refusal.Wanted
		}
		return &NotALeafError{path, "such that " + strings.Join(wanted, " or ")}
	}
}

func conditional(condition, then check) check {
	return func(value any, path string) *NotALeafError {
		if condition(value, path) != nil {
			return nil
		}
		return then(value, path)
	}
}

func every(checks []check) check {
	return func(value any, path string) *NotALeafError {
		for _, one := range checks {
			if refusal := one(value, path); refusal != nil {
				return refusal
			}
		}
		return nil
	}
}

func is[T any](value any) bool {
	_, is := value.(T)
	return is
}

func isInteger(value any) bool {
	number, is := value.(json.Number)
	// JSON writes -0 as 0, so it would have two forms.
	_, err := number.Int64()
	return is && err == nil && number != "-0"
}

var fieldName = regexp.MustCompile(`^[a-z_]{1,64}$`)

// unknown refuses an unknown field, by its name where that looks like a field's: it may be any text.
func unknown(path, name string) *NotALeafError {
	if fieldName.MatchString(name) {
		return &NotALeafError{join(path, name), "absent"}
	}
	return &NotALeafError{cmp.Or(path, "leaf"), "free of unknown fields"}
}

func named(ref string) string {
	return strings.TrimPrefix(ref, "#/$defs/")
}

func unsupported(what string) string {
	return "countersign: docs/audit-log-schema.json: " + what
}
