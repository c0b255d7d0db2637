// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of Argon2id: the second choice of RFC 9106 is too much memory for small machines, so OWASP's: 19 MiB, two passes.
const (
	argonMemoryKiB = 19 << 10
	argonTime      = 2
	argonThreads   = 1
	argonKeyLen    = 32
	argonSaltLen   = 16
	// maxHashing bounds the passwords hashed at once, and with them the memory that logins can take.
	maxHashing = 4
)

// MinPassword is the least length of a password, MaxPassword the greatest, in bytes.
const (
	MinPassword = 8
	MaxPassword = 1024
)

var errHash = errors.New("stored password hash is malformed")

// hasher hashes passwords, a bounded number at once.
type hasher chan struct{}

func (h hasher) enter(ctx context.Context) error {
	select {
	case h <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hash returns the password's Argon2id hash in PHC form.
func (h hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer func() { <-h }()
	var salt [argonSaltLen]byte
	_, _ = rand.Read(salt[:])
	key := argon2.IDKey([]byte(password), salt[:], argonTime, argonMemoryKiB, argonThreads, argonKeyLen)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemoryKiB, argonTime, argonThreads,
		b64.EncodeToString(salt[:]), b64.EncodeToString(key)), nil
}

// verify reports whether the password has the stored hash.
func (h hasher) verify(ctx context.Context, password, stored string) (bool, error) {
	var version, memory, passes, threads int
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errHash
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &threads); err != nil {
		return false, fmt.Errorf("%w: %w", errHash, err)
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(err1, err2); err != nil || len(want) == 0 || version != argon2.Version {
		return false, errHash
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer func() { <-h }()
	got := argon2.IDKey([]byte(password), salt, uint32(passes), uint32(memory), uint8(threads), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// RandomPassword returns a password of 128 random bits that can be read out and typed.
func RandomPassword() string {
	return rand.Text() // base32, at least 128 bits
}
