// SPDX-License-Identifier: Apache-2.0

package root

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// Headers of requests that may be repeated.
const (
	headerIdempotencyKey = "Idempotency-Key"
	headerReplayed       = "Idempotency-Replayed"
)

const (
	// maxKey is how long a key may be, in bytes.
	maxKey = 255
	// maxKeys bounds the keys that are kept of one account.
	maxKeys = 10_000
	// forgetKeys bounds how many old keys one request removes.
	forgetKeys = 100
)

// keyOnce is where idempotent leaves the key of a request for keepAnswer.
const keyOnce = "once"

// once is a request with a key of the client's.
type once struct {
	account, key string
	request      []byte
}

// idempotent lets clients repeat a request that creates something: one that comes again within a day with the same Idempotency-Key does
// nothing and gets the answer of the first. Only what has succeeded is remembered. The handler has to call keepAnswer.
func (r *Root) idempotent(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		key := c.Request().Header.Get(headerIdempotencyKey)
		if key == "" {
			return next(c)
		}
		if len(key) > maxKey || !printable(key) {
			return httpapi.NewProblem(http.StatusBadRequest, "invalid_key", "%s must have 1 to %d bytes, all printable", headerIdempotencyKey, maxKey)
		}
		body, err := httpapi.Body(c)
		if err != nil {
			return err
		}
		req := c.Request()
		req.Body = io.NopCloser(bytes.NewReader(body))
		p := principal(c)
		sum := sha256.New()
		_, _ = fmt.Fprintf(sum, "%s %s\x00%s\x00", req.Method, strings.TrimSuffix(req.URL.Path, "/"), p.OrganizationID)
		_, _ = sum.Write(body)
		one := once{account: p.ID, key: key, request: sum.Sum(nil)}
		if done, err := r.replay(c, one); done || err != nil {
			return err
		}
		c.Set(keyOnce, one)
		err = next(c)
		if err == nil || c.Response().Committed {
			return err
		}
		// Of two at once the second fails, by the key or by the name of what the first has created.
		if done, lookup := r.replay(c, one); done || lookup != nil {
			return lookup
		}
		return err
	}
}

const olderThanADay = `created_at < now() - interval '24 hours'`

// replay answers as the first request with the key was answered, if there was one. On the way, keys that are older than a day are removed: this
// one, and some of all.
func (r *Root) replay(c echo.Context, one once) (done bool, err error) {
	var request, answer []byte
	batch := &pgx.Batch{} // one way to the database: all of this is in front of what was asked for
	batch.Queue(`DELETE FROM idempotency_key WHERE account_id = $1 AND key = $2 AND `+olderThanADay, one.account, one.key)
	batch.Queue(`DELETE FROM idempotency_key WHERE (account_id, key) IN (SELECT account_id, key FROM idempotency_key
		WHERE `+olderThanADay+` ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED)`, forgetKeys)
	batch.Queue(`SELECT request, answer FROM idempotency_key WHERE account_id = $1 AND key = $2`, one.account, one.key).
		QueryRow(func(row pgx.Row) error { return row.Scan(&request, &answer) })
	err = r.pool.SendBatch(c.Request().Context(), batch).Close()
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look up idempotency key: %w", err)
	case !bytes.Equal(request, one.request):
		return false, httpapi.NewProblem(http.StatusUnprocessableEntity, "key_reused",
			"the %s was used for another request within the last 24 hours: take a new one for each", headerIdempotencyKey)
	}
	c.Response().Header().Set(headerReplayed, "true")
	return true, c.JSONBlob(http.StatusOK, answer)
}

// keepAnswer stores what a request with a key is answered, in the transaction that does what it asks for. Without a key it does nothing.
func (r *Root) keepAnswer(c echo.Context, tx pgx.Tx, answer any) error {
	one, ok := c.Get(keyOnce).(once)
	if !ok {
		return nil
	}
	ctx := c.Request().Context()
	var keys int
	err := tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM idempotency_key WHERE account_id = $1 LIMIT $2) k`, one.account, maxKeys).Scan(&keys)
	if err != nil {
		return fmt.Errorf("count idempotency keys: %w", err)
	}
	if keys >= maxKeys {
		return httpapi.NewProblem(http.StatusTooManyRequests, "too_many_keys",
			"%d keys of yours are remembered, which is the most: leave out the %s, or come back tomorrow", keys, headerIdempotencyKey)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("keep answer: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO idempotency_key (account_id, key, request, answer) VALUES ($1, $2, $3, $4)`,
		one.account, one.key, one.request, append(text, '\n'))
	if store.IsUniqueViolation(err, "") {
		return conflict("key_in_use", "another request with this %s has just been carried out", headerIdempotencyKey)
	}
	if err != nil {
		return fmt.Errorf("keep answer: %w", err)
	}
	return nil
}
