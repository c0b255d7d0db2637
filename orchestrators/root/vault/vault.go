// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// KeyBytes is the length of the installation's key.
const KeyBytes = 32

// format is the first byte of what is sealed.
const format = 1

// ErrSealed is returned for what does not open: it was sealed by another key or for another context, or was changed since.
var ErrSealed = errors.New("the value does not open: it was sealed with another key, or the database was tampered with")

// Vault seals and opens values with one key. It is safe for concurrent use.
type Vault struct {
	outer cipher.AEAD
	id    string
}

// New returns a vault with the given key of [KeyBytes].
func New(key []byte) (*Vault, error) {
	if len(key) != KeyBytes {
		return nil, fmt.Errorf("use key for secrets: it has %d bytes, has to have %d", len(key), KeyBytes)
	}
	outer, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("oakestra secrets key id\x00"), key...))
	return &Vault{outer: outer, id: hex.EncodeToString(sum[:8])}, nil
}

// ID names the key without telling it: 16 hexadecimal digits.
func (v *Vault) ID() string { return v.id }

// Seal encrypts a value for a context.
func (v *Vault) Seal(value []byte, context string) ([]byte, error) {
	key := make([]byte, KeyBytes)
	_, _ = rand.Read(key) // never fails
	inner, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	sealed := v.seal(v.outer, []byte{format}, key, "key of "+context)
	return v.seal(inner, sealed, value, context), nil
}

// Open decrypts what [Vault.Seal] returned for the same context; the error is [ErrSealed] if it cannot.
func (v *Vault) Open(sealed []byte, context string) ([]byte, error) {
	wrapped := 1 + v.outer.NonceSize() + KeyBytes + v.outer.Overhead()
	if len(sealed) < wrapped || sealed[0] != format {
		return nil, ErrSealed
	}
	key, err := open(v.outer, sealed[1:wrapped], "key of "+context)
	if err != nil {
		return nil, err
	}
	inner, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return open(inner, sealed[wrapped:], context)
}

func (v *Vault) seal(by cipher.AEAD, onto, value []byte, context string) []byte {
	nonce := make([]byte, by.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return by.Seal(append(onto, nonce...), nonce, value, []byte(context))
}

func open(by cipher.AEAD, sealed []byte, context string) ([]byte, error) {
	if len(sealed) < by.NonceSize() {
		return nil, ErrSealed
	}
	value, err := by.Open(nil, sealed[:by.NonceSize()], sealed[by.NonceSize():], []byte(context))
	if err != nil {
		return nil, ErrSealed
	}
	return value, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("use key for secrets: %w", err)
	}
	return cipher.NewGCM(block)
}
