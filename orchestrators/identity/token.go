// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// ErrToken is wrapped by every error that refuses a join token. Its text says why, and never quotes the token.
var ErrToken = errors.New("join token refused")

// errUsedUp refuses a token of which no use is left.
var errUsedUp = fmt.Errorf("%w: it has been used as often as allowed; ask for a new one", ErrToken)

// MaxTokenUses bounds how often one token may be used.
const MaxTokenUses = 100_000

// IssueToken stores a new token that admits to role (pki.RoleCluster or pki.RoleWorker) for ttl, at most uses times. Only
// its hash is kept: the returned token is the only copy.
func (ca *CA) IssueToken(ctx context.Context, role string, ttl time.Duration, uses int) (pki.Token, error) {
	switch {
	case role != pki.RoleCluster && role != pki.RoleWorker:
		return pki.Token{}, fmt.Errorf("issue token: role %q is neither %s nor %s", role, pki.RoleCluster, pki.RoleWorker)
	case ttl <= 0:
		return pki.Token{}, fmt.Errorf("issue token: time to live %s is not positive", ttl)
	case uses < 1 || uses > MaxTokenUses:
		return pki.Token{}, fmt.Errorf("issue token: uses %d is not within 1 and %d", uses, MaxTokenUses)
	}
	t := pki.Token{Audience: ca.id, Role: role, ID: pki.NewID(), Secret: pki.NewSecret(), CAHash: ca.Hash()}
	err := store.InTx(ctx, ca.pool, func(tx pgx.Tx) error {
		// Old tokens go when new ones come, so that the table stays small.
		if _, err := tx.Exec(ctx, `DELETE FROM join_token WHERE expires_at < now() - interval '30 days'`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO join_token (id, role, secret_hash, uses_left, expires_at)
			VALUES ($1, $2, $3, $4, now() + $5)`, t.ID, role, hash(t.Secret), uses, ttl)
		return err
	})
	if err != nil {
		return pki.Token{}, fmt.Errorf("issue token: %w", err)
	}
	return t, nil
}

// RedeemToken checks a token for role and counts one use of it. It fails with an error that wraps [ErrToken].
func (ca *CA) RedeemToken(ctx context.Context, token, role string) error {
	return store.InTx(ctx, ca.pool, func(tx pgx.Tx) error { return ca.RedeemTokenIn(ctx, tx, token, role) })
}

// RedeemTokenIn is [CA.RedeemToken] in a transaction: the use counts only if the transaction commits, with whatever the
// token admitted.
func (ca *CA) RedeemTokenIn(ctx context.Context, tx pgx.Tx, token, role string) error {
	id, uses, err := ca.check(ctx, tx, token, role)
	if err != nil {
		return err
	}
	if uses == 0 {
		return errUsedUp
	}
	if _, err := tx.Exec(ctx, `UPDATE join_token SET uses_left = uses_left - 1 WHERE id = $1`, id); err != nil {
		return fmt.Errorf("count use of token: %w", err)
	}
	return nil
}

// CheckTokenIn checks a token for role without counting a use and although none may be left. It is for one who joins again
// with the same key because the answer to his first request was lost.
func (ca *CA) CheckTokenIn(ctx context.Context, tx pgx.Tx, token, role string) error {
	_, _, err := ca.check(ctx, tx, token, role)
	return err
}

// InspectToken fails as [CA.RedeemToken] would now, and counts no use.
func (ca *CA) InspectToken(ctx context.Context, token, role string) error {
	return store.InTx(ctx, ca.pool, func(tx pgx.Tx) error {
		_, uses, err := ca.check(ctx, tx, token, role)
		if err == nil && uses == 0 {
			err = errUsedUp
		}
		return err
	})
}

func (ca *CA) check(ctx context.Context, tx pgx.Tx, token, role string) (id string, uses int, err error) {
	t, err := pki.ParseToken(token)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if t.Audience != ca.id {
		return "", 0, fmt.Errorf("%w: it was issued by another installation or cluster (%s, this is %s)", ErrToken, t.Audience, ca.id)
	}
	var want []byte
	var stored string
	var expired bool
	err = tx.QueryRow(ctx, `SELECT role, secret_hash, uses_left, expires_at <= now() FROM join_token WHERE id = $1 FOR UPDATE`,
		t.ID).Scan(&stored, &want, &uses, &expired)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", 0, fmt.Errorf("%w: it is unknown here", ErrToken)
	}
	if err != nil {
		return "", 0, fmt.Errorf("look up token: %w", err)
	}
	switch {
	case subtle.ConstantTimeCompare(want, hash(t.Secret)) != 1:
		return "", 0, fmt.Errorf("%w: it is unknown here", ErrToken)
	case stored != role || t.Role != role:
		return "", 0, fmt.Errorf("%w: it admits to role %s, not %s", ErrToken, stored, role)
	case expired:
		return "", 0, fmt.Errorf("%w: it has expired; ask for a new one", ErrToken)
	}
	return t.ID, uses, nil
}

// hash needs no salt and no slowness: the secret is 256 random bits.
func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
