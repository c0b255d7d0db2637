// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/rand"
	"encoding/hex"
)

// IDLength is the number of characters of an identifier: 12 random bytes in hexadecimal, the form that existing clients
// know as an ObjectId.
const IDLength = 24

// NewID returns a new identifier of an application, service, cluster, worker, user or organisation: 24 lower-case
// hexadecimal digits of 96 random bits.
func NewID() string {
	var b [IDLength / 2]byte
	// crypto/rand.Read never fails: it ends the program if the system has no entropy.
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// ValidID reports whether s has the form of an identifier.
func ValidID(s string) bool { return isLowerHex(s, IDLength) }

func isLowerHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
