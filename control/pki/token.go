// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The roles that a join token can admit to.
const (
	RoleCluster = "cluster"
	RoleWorker  = "worker"
)

const (
	tokenPrefix  = "oak1"
	secretLength = 64 // hexadecimal digits: 256 bits
	hashLength   = 64 // hexadecimal digits of SHA-256
	maxTokenText = 512
)

// ErrToken is wrapped by every error of [ParseToken].
var ErrToken = errors.New("malformed join token")

// Token admits its bearer to one tier. Its text form is "oak1.AUDIENCE.ROLE.ID.SECRET.CAHASH".
type Token struct {
	// Audience is the id of the installation or cluster that issued the token.
	Audience string
	// Role is what the bearer may join as: [RoleCluster] or [RoleWorker].
	Role string
	// ID names the token in the issuer's store.
	ID string
	// Secret is 256 random bits in hexadecimal. The issuer stores only its hash.
	Secret string
	// CAHash is the SHA-256 of the issuer's CA certificate (DER) in hexadecimal; it is what [PinnedTLS] pins.
	CAHash string
}

// NewSecret returns 256 random bits in hexadecimal.
func NewSecret() string {
	var b [secretLength / 2]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// ParseToken reads the text form of a token, ignoring white space around it. Its errors never quote the token.
func ParseToken(s string) (Token, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxTokenText {
		return Token{}, fmt.Errorf("%w: longer than %d characters", ErrToken, maxTokenText)
	}
	parts := strings.Split(s, ".")
	if len(parts) != 6 || parts[0] != tokenPrefix {
		return Token{}, fmt.Errorf("%w: want %s.AUDIENCE.ROLE.ID.SECRET.CAHASH", ErrToken, tokenPrefix)
	}
	t := Token{Audience: parts[1], Role: parts[2], ID: parts[3], Secret: parts[4], CAHash: parts[5]}
	switch {
	case !ValidID(t.Audience):
		return Token{}, fmt.Errorf("%w: audience is not an id", ErrToken)
	case t.Role != RoleCluster && t.Role != RoleWorker:
		return Token{}, fmt.Errorf("%w: role is neither %s nor %s", ErrToken, RoleCluster, RoleWorker)
	case !ValidID(t.ID):
		return Token{}, fmt.Errorf("%w: token id is not an id", ErrToken)
	case !isLowerHex(t.Secret, secretLength):
		return Token{}, fmt.Errorf("%w: secret is not %d hexadecimal digits", ErrToken, secretLength)
	case !isLowerHex(t.CAHash, hashLength):
		return Token{}, fmt.Errorf("%w: CA hash is not %d hexadecimal digits", ErrToken, hashLength)
	}
	return t, nil
}

// String returns the text form. It holds the secret: print it only to whom the token is given.
func (t Token) String() string {
	return strings.Join([]string{tokenPrefix, t.Audience, t.Role, t.ID, t.Secret, t.CAHash}, ".")
}
