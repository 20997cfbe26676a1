package countersign

import (
	"encoding"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	numberText    = reflect.TypeFor[json.Number]()
	rawText       = reflect.TypeFor[json.RawMessage]()
)

// checkValue refuses what encoding/json would turn into something else: bytes into base64, half a character into U+FFFD,
// numeric keys into strings, a time into whatever its methods say.
func checkValue(arguments any) error {
	if why := check(reflect.ValueOf(arguments), 1, 0); why != nil {
		return why
	}
	return nil
}

// check is nil where the value is JSON as it is. depth counts the objects and arrays around it and itself, hops the pointers.
func check(value reflect.Value, depth, hops int) *UnhashableArgumentsError {
	if !value.IsValid() {
		return nil
	}
	kind := value.Type()
	if kind != numberText && kind != rawText && marshalsItself(kind) {
		return refuse("a " + kind.String() + " writes itself; convert it")
	}
	switch value.Kind() {
	case reflect.Bool:
		return nil
	case reflect.String:
		return checkUTF8(value.String())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return bounded(value.Int() <= maxInteger && value.Int() >= -maxInteger)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return bounded(value.Uint() <= maxInteger)
	case reflect.Float32, reflect.Float64:
		if math.IsNaN(value.Float()) || math.IsInf(value.Float(), 0) {
			return refuse("it is not a finite number")
		}
		return bounded(math.Abs(value.Float()) <= maxInteger)
	case reflect.Pointer, reflect.Interface:
		if hops > maxDepth {
			return refuse(tooDeep)
		}
		return check(value.Elem(), depth, hops+1)
	case reflect.Slice, reflect.Array:
		return checkItems(value, depth, hops)
	case reflect.Map:
		return checkMap(value, depth, hops)
	case reflect.Struct:
		return checkStruct(value, depth, hops)
	default:
		return refuse("a " + kind.String() + " is not a JSON value; convert it")
	}
}

func marshalsItself(kind reflect.Type) bool {
	for _, marshaler := range []reflect.Type{jsonMarshaler, textMarshaler} {
		// A method of the pointer counts too: whether encoding/json finds it depends on how the value is held.
		if kind.Implements(marshaler) || reflect.PointerTo(kind).Implements(marshaler) {
			return true
		}
	}
	return false
}

func checkItems(value reflect.Value, depth, hops int) *UnhashableArgumentsError {
	if value.Type() == rawText {
		return nil // Its text is checked with the rest.
	}
	if value.Type().Elem().Kind() == reflect.Uint8 {
		return refuse("bytes are not a JSON value; write them as text")
	}
	if depth > maxDepth {
		return refuse(tooDeep)
	}
	for nth := range value.Len() {
		if why := check(value.Index(nth), depth+1, hops); why != nil {
			return why.within("[" + strconv.Itoa(nth) + "]")
		}
	}
	return nil
}

func checkMap(value reflect.Value, depth, hops int) *UnhashableArgumentsError {
	if key := value.Type().Key(); key.Kind() != reflect.String || marshalsItself(key) {
		return refuse("keys are a " + key.String() + "; JSON has strings only")
	}
	if depth > maxDepth {
		return refuse(tooDeep)
	}
	for members := value.MapRange(); members.Next(); {
		if why := checkUTF8(members.Key().String()); why != nil {
			return why
		}
		if why := check(members.Value(), depth+1, hops); why != nil {
			return why.within(members.Key().String())
		}
	}
	return nil
}

func checkStruct(value reflect.Value, depth, hops int) *UnhashableArgumentsError {
	if depth > maxDepth {
		return refuse(tooDeep)
	}
	for nth := range value.NumField() {
		field := value.Type().Field(nth)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Tag.Get("json") == "-" || !field.IsExported() && !field.Anonymous {
			continue
		}
		if name == "" {
			name = field.Name
		}
		if strings.Contains(","+options+",", ",string,") {
			return refuse("its tag makes a string of it; make it one").within(name)
		}
		if why := check(value.Field(nth), depth+1, hops); why != nil {
			return why.within(name)
		}
	}
	return nil
}

func checkUTF8(text string) *UnhashableArgumentsError {
	if utf8.ValidString(text) {
		return nil
	}
	return refuse("it is no UTF-8, and would be replaced")
}

func bounded(holds bool) *UnhashableArgumentsError {
	if holds {
		return nil
	}
	return refuse(tooLarge)
}

func refuse(why string) *UnhashableArgumentsError { return &UnhashableArgumentsError{Why: why} }

// within puts a step before the path, on the way out.
func (e *UnhashableArgumentsError) within(step string) *UnhashableArgumentsError {
	if e.Path != "" && !strings.HasPrefix(e.Path, "[") {
		step += "."
	}
	e.Path = step + e.Path
	return e
}
