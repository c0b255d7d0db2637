// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
)

// KeyBytes is the length of the installation's key.
const KeyBytes = 32

// format is the first byte of what is sealed.
const format = 1

// ErrSealed is returned for what does not open: it was sealed by another key or for another context, or was changed since.
var ErrSealed = errors.New("the value does not open: it was sealed with another key, or the database was tampered with")

// Vault seals and opens values. It has one key, or several while values are on their way from one to the other: it opens with any of them. It is
// safe for concurrent use.
type Vault struct {
	path string // of the file that the keys were read from; empty for others
	keys atomic.Pointer[[]key]

	reloading sync.Mutex
	read      fs.FileInfo // the file as it was read
}

type key struct {
	raw   []byte
	outer cipher.AEAD
	id    string
}

// maxKeys bounds the keys of one vault.
const maxKeys = 16

// New returns a vault with the given keys of [KeyBytes] each, 16 at most.
func New(keys ...[]byte) (*Vault, error) {
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("use keys for secrets: there are %d, have to be from 1 to %d", len(keys), maxKeys)
	}
	var list []key
	for _, raw := range keys {
		if len(raw) != KeyBytes {
			return nil, fmt.Errorf("use key for secrets: it has %d bytes, has to have %d", len(raw), KeyBytes)
		}
		outer, err := newAEAD(raw)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append([]byte("oakestra secrets key id\x00"), raw...))
		list = append(list, key{bytes.Clone(raw), outer, hex.EncodeToString(sum[:8])})
	}
	v := &Vault{}
	v.keys.Store(&list)
	return v, nil
}

// Generate returns a vault with a new key.
func Generate() *Vault {
	raw := make([]byte, KeyBytes)
	_, _ = rand.Read(raw) // never fails
	v, err := New(raw)
	if err != nil {
		panic(err) // cannot be: the key has its length
	}
	return v
}

// ID names the first key without telling it: 16 hexadecimal digits.
func (v *Vault) ID() string { return (*v.keys.Load())[0].id }

// Has reports whether the vault has the key of that id.
func (v *Vault) Has(id string) bool {
	_, ok := v.find(id)
	return ok
}

func (v *Vault) find(id string) (key, bool) {
	for _, k := range *v.keys.Load() {
		if k.id == id {
			return k, true
		}
	}
	return key{}, false
}

// Before returns a vault with the keys of v and then those of later that it lacks.
func (v *Vault) Before(later *Vault) (*Vault, error) {
	var raw [][]byte
	seen := map[string]bool{}
	for _, from := range []*Vault{v, later} {
		for _, k := range *from.keys.Load() {
			if !seen[k.id] {
				seen[k.id] = true
				raw = append(raw, k.raw)
			}
		}
	}
	return New(raw...)
}

// ErrNoKey is returned for the id of a key that a vault does not have.
var ErrNoKey = errors.New("the key for secrets is not there")

// Seal encrypts a value for a context with the key of that id; the error is [ErrNoKey] without one.
func (v *Vault) Seal(id string, value []byte, context string) ([]byte, error) {
	by, ok := v.find(id)
	if !ok {
		return nil, ErrNoKey
	}
	own := make([]byte, KeyBytes)
	_, _ = rand.Read(own) // never fails
	inner, err := newAEAD(own)
	if err != nil {
		return nil, err
	}
	sealed := seal(by.outer, []byte{format}, own, "key of "+context)
	return seal(inner, sealed, value, context), nil
}

// Open decrypts what [Vault.Seal] returned for the same context; the error is [ErrSealed] if it cannot.
func (v *Vault) Open(sealed []byte, context string) ([]byte, error) {
	own, rest, err := v.unwrap(sealed, context)
	if err != nil {
		return nil, err
	}
	inner, err := newAEAD(own)
	if err != nil {
		return nil, err
	}
	return open(inner, rest, context)
}

// Reseal returns what [Vault.Seal] would have returned with the key of that id. The value itself stays as it is sealed: its own key is what is
// sealed anew. The errors are [ErrSealed] and [ErrNoKey].
func (v *Vault) Reseal(id string, sealed []byte, context string) ([]byte, error) {
	by, ok := v.find(id)
	if !ok {
		return nil, ErrNoKey
	}
	own, rest, err := v.unwrap(sealed, context)
	if err != nil {
		return nil, err
	}
	return append(seal(by.outer, []byte{format}, own, "key of "+context), rest...), nil
}

// unwrap returns a value's own key and what it seals.
func (v *Vault) unwrap(sealed []byte, context string) (own, rest []byte, err error) {
	for _, k := range *v.keys.Load() {
		wrapped := 1 + k.outer.NonceSize() + KeyBytes + k.outer.Overhead()
		if len(sealed) < wrapped || sealed[0] != format {
			return nil, nil, ErrSealed
		}
		if own, err := open(k.outer, sealed[1:wrapped], "key of "+context); err == nil {
			return own, sealed[wrapped:], nil
		}
	}
	return nil, nil, ErrSealed
}

func seal(by cipher.AEAD, onto, value []byte, context string) []byte {
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
