// SPDX-License-Identifier: Apache-2.0

package hello

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

const keySalt = "oakestra hello v1"

// PairKey derives the key that two sides sign their hellos with. It is the same on both sides.
func PairKey(own *ecdh.PrivateKey, public []byte, a, b [12]byte) ([]byte, error) {
	theirs, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("read public key of %d bytes: %w", len(public), err)
	}
	shared, err := own.ECDH(theirs)
	if err != nil {
		return nil, fmt.Errorf("agree on a key: %w", err)
	}
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	key, err := hkdf.Key(sha256.New, shared, []byte(keySalt), string(a[:])+string(b[:]), sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the pair's key: %w", err)
	}
	return key, nil
}
