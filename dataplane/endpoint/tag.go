// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"crypto/rand"
	"encoding/binary"
)

// newTag draws a tag: 24 random bits, never 0. It is what a stale route cannot guess.
func newTag() uint32 {
	for {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program if the system has no randomness
		if tag := binary.BigEndian.Uint32(b[:]) >> 8; tag != 0 {
			return tag
		}
	}
}
