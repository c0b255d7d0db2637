// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxTokens bounds the tokens that are listed, the newest first to be kept.
const maxTokens = 10_000

// TokenInfo is what is known of a join token. Its value is not: only a hash of it is kept.
type TokenInfo struct {
	ID, Role             string
	UsesLeft             int
	CreatedAt, ExpiresAt time.Time
	Expired              bool
}

const selectTokens = `SELECT id, role, uses_left, created_at, expires_at, expires_at <= now() FROM join_token `

// Tokens lists the join tokens, oldest first; those that expired a month ago may be missing.
func (ca *CA) Tokens(ctx context.Context) ([]TokenInfo, error) {
	rows, err := ca.pool.Query(ctx, `SELECT * FROM (`+selectTokens+`ORDER BY created_at DESC, id DESC LIMIT $1) t ORDER BY created_at, id`, maxTokens)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TokenInfo])
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return list, nil
}

// Token returns one join token; the error wraps [ErrToken] if there is none.
func (ca *CA) Token(ctx context.Context, id string) (TokenInfo, error) {
	var t TokenInfo
	err := ca.pool.QueryRow(ctx, selectTokens+`WHERE id = $1`, id).Scan(&t.ID, &t.Role, &t.UsesLeft, &t.CreatedAt, &t.ExpiresAt, &t.Expired)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, fmt.Errorf("%w: it is unknown here", ErrToken)
	}
	if err != nil {
		return t, fmt.Errorf("look up token: %w", err)
	}
	return t, nil
}

// RevokeToken forgets a join token: nobody joins with it from now on. Who has joined stays. It reports whether it was known.
func (ca *CA) RevokeToken(ctx context.Context, id string) (bool, error) {
	tag, err := ca.pool.Exec(ctx, `DELETE FROM join_token WHERE id = $1`, id)
	if err != nil {
		return false, fmt.Errorf("revoke token: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}
