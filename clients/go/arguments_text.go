package countersign

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// checkText refuses JSON that two parsers could read differently, and what is not one object.
func checkText(text []byte) error {
	if !utf8.Valid(text) || !json.Valid(text) {
		return refuse("it is not JSON in UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	token, err := decoder.Token()
	if err != nil || token != json.Delim('{') {
		return refuse("arguments are one JSON object")
	}
	if why := checkMembers(decoder, 1); why != nil {
		return why
	}
	return nil
}

func checkMembers(decoder *json.Decoder, depth int) *UnhashableArgumentsError {
	if depth > maxDepth {
		return refuse(tooDeep)
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		key, is := token.(string)
		if err != nil || !is {
			return refuse("it is not JSON")
		}
		if seen[key] {
			return refuse("it is given twice").within(key)
		}
		seen[key] = true
		if why := checkNext(decoder, depth); why != nil {
			return why.within(key)
		}
	}
	return closed(decoder)
}

func checkElements(decoder *json.Decoder, depth int) *UnhashableArgumentsError {
	if depth > maxDepth {
		return refuse(tooDeep)
	}
	for nth := 0; decoder.More(); nth++ {
		if why := checkNext(decoder, depth); why != nil {
			return why.within("[" + strconv.Itoa(nth) + "]")
		}
	}
	return closed(decoder)
}

// checkNext checks the next value; depth counts the objects and arrays around it.
func checkNext(decoder *json.Decoder, depth int) *UnhashableArgumentsError {
	token, err := decoder.Token()
	if err != nil {
		return refuse("it is not JSON")
	}
	switch token := token.(type) {
	case json.Number:
		return checkNumber(token.String())
	case json.Delim:
		if token == '{' {
			return checkMembers(decoder, depth+1)
		}
		return checkElements(decoder, depth+1)
	default:
		return nil
	}
}

func closed(decoder *json.Decoder) *UnhashableArgumentsError {
	if _, err := decoder.Token(); err != nil {
		return refuse("it is not JSON")
	}
	return nil
}

// checkNumber refuses a number whose text says something else than the double that every parser may read it as.
func checkNumber(token string) *UnhashableArgumentsError {
	value, err := strconv.ParseFloat(token, 64)
	if err != nil || value > maxInteger || value < -maxInteger {
		return refuse(tooLarge)
	}
	if decimal(token) != decimal(strconv.FormatFloat(value, 'e', -1, 64)) {
		return refuse("it is a number with more digits than a double holds, which other parsers round; send it as a string")
	}
	return nil
}

// digits is a decimal number without zeros at either end, and the power of ten of its last digit.
type digits struct {
	negative bool
	all      string
	exponent int64
}

func decimal(text string) digits {
	text, negative := strings.CutPrefix(text, "-")
	mantissa, power, _ := strings.Cut(strings.ToLower(text), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := strings.TrimLeft(whole+fraction, "0")
	significant := strings.TrimRight(all, "0")
	if significant == "" {
		return digits{}
	}
	// A power beyond 64 bits is held at their end, where no double is.
	exponent, _ := strconv.ParseInt(power, 10, 64)
	return digits{negative, significant, exponent + int64(len(all)-len(significant)-len(fraction))}
}
