// Package custody reads the leaves of the custody log, byte for byte (docs/custody-leaf.md), offline.
//
// ReadLeaf reads the bytes of a leaf, LeafFromExport gives the bytes of an exported event back and checks its hash and
// its disclosed texts, LeafHash and Commitment are the two hashes of the format. What is no leaf is refused with a
// *NotALeafError.
package custody

// NotALeafError says that bytes are no leaf, or that an event is no export of one. It never repeats the refused value.
type NotALeafError struct {
	// Field is where, with dots between parts: charges.amount. "leaf": the leaf as a whole.
	Field string
	// Wanted is what would fit there.
	Wanted string
}

func (e *NotALeafError) Error() string {
	return "countersign: not a leaf: " + e.Field + " must be " + e.Wanted
}
