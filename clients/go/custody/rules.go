package custody

import (
	"strconv"
	"time"
)

// each holds what values must be beyond their definition in the schema, because JSON Schema cannot say it. They fit the
// definition already.
var each = map[string]check{
	"attribute": func(value any, path string) *NotALeafError {
		attribute := value.(map[string]any)
		if _, err := strconv.ParseInt(attribute["value"].(string), 10, 64); attribute["type"] == "integer" && err != nil {
			return &NotALeafError{path + ".value", "a signed 64-bit integer as a string of decimal digits"}
		}
		return nil
	},
	"decimal": func(value any, path string) *NotALeafError {
		if _, err := strconv.ParseUint(value.(string), 10, 64); err != nil {
			return &NotALeafError{path, "at most 18446744073709551615"}
		}
		return nil
	},
	"time": func(value any, path string) *NotALeafError {
		// The schema leaves the days past the end of a month: 2026-02-30.
		if _, err := time.Parse(time.DateOnly, value.(string)[:len(time.DateOnly)]); err != nil {
			return &NotALeafError{path, "a day that exists"}
		}
		return nil
	},
}

// order is what lists of a definition are sorted by, each once; empty: by the items themselves. The only list of hashes
// is grounds.
var order = map[string][]string{
	"attribute": {"name"},
	"change":    {"field"},
	"charge":    {"meter", "key"},
	"count":     {"kind", "sponsor_id", "tool_id"},
	"emitter":   {"emitter_id"},
	"figure":    {"name"},
	"hash":      {},
}
