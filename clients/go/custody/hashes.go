package custody

import (
	"crypto/sha256"
	"encoding/hex"
)

// SaltBytes is the length of a salt.
const SaltBytes = 16

// LeafHash returns the leaf hash of RFC 6962: SHA-256(0x00 || data), 64 lower-case hexadecimal digits.
func LeafHash(data []byte) string {
	return sha256Hex([]byte{0}, data)
}

// Commitment returns SHA-256(salt || text), 64 lower-case hexadecimal digits. The text is hashed as its bytes, UTF-8.
func Commitment(salt [SaltBytes]byte, text string) string {
	return sha256Hex(salt[:], []byte(text))
}

func sha256Hex(first, second []byte) string {
	hash := sha256.New()
	hash.Write(first)
	hash.Write(second)
	return hex.EncodeToString(hash.Sum(nil))
}
