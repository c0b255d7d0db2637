// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/stream"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/rendezvous"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

const (
	pathLogs        = "/api/v1/service/:service/instance/:number/logs"
	pathExec        = "/api/v1/service/:service/instance/:number/exec"
	pathEventStream = "/api/v1/events"
)

// Bounds of streams: of all kinds in this process, of one user, and how long one may last.
const (
	maxStreams     = 1024
	maxUserStreams = 64
	maxStream      = 24 * time.Hour
)

// beginTimeout is how long the worker may take, once it is connected, to begin.
const beginTimeout = 15 * time.Second

// lookAgain is how often it is looked whether the login of a stream's user still is one.
const lookAgain = 15 * time.Second

// streams are those that this process holds.
type streams struct {
	place *rendezvous.Place
	url   string

	mu   sync.Mutex
	all  int
	user map[string]int // by user
}

func newStreams(url string) *streams {
	return &streams{place: rendezvous.New(), url: url, user: map[string]int{}}
}

// enter counts one more stream of a user; leave has to be called in the end.
func (s *streams) enter(userID string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.user[userID] >= maxUserStreams {
		return nil, httpapi.NewProblem(http.StatusTooManyRequests, wire.StreamBusy, "too many streams are open: a user may have %d, this server %d: end some", maxUserStreams, maxStreams)
	}
	s.all++
	s.user[userID]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.user[userID]--; s.user[userID] == 0 {
			delete(s.user, userID)
		}
	}, nil
}

// openStream has the cluster that has an instance dial up, and returns the connection once the worker has begun with what start says.
func (r *Root) openStream(ctx context.Context, key wire.InstanceKey, start wire.StreamStartMessage) (*stream.Conn, error) {
	clusterID, err := r.clusterOfInstance(ctx, key)
	if err != nil {
		return nil, err
	}
	m := r.streams.place.Expect(clusterID)
	defer m.Leave()
	defer r.forgetStream(ctx, m.ID)
	if err := r.askForStream(ctx, clusterID, key, m); err != nil {
		return nil, err
	}
	conn, err := m.Wait(ctx, wire.StreamConnectTimeout)
	if errors.Is(err, rendezvous.ErrNobody) {
		return nil, httpapi.NewProblem(http.StatusGatewayTimeout, "cluster_away",
			"the cluster that has the instance has not connected within %s: it is away, cannot reach this process (--advertise-url), or is of a version without streams", wire.StreamConnectTimeout)
	}
	if err != nil {
		return nil, err
	}
	if err := begin(ctx, conn, start); err != nil {
		conn.Abort(err)
		return nil, err
	}
	return conn, nil
}

func (r *Root) clusterOfInstance(ctx context.Context, key wire.InstanceKey) (string, error) {
	var id, detail string
	err := r.pool.QueryRow(ctx, `SELECT coalesce(cluster_id, ''), state || CASE detail WHEN '' THEN '' ELSE ': ' || detail END FROM instance WHERE service_id = $1 AND number = $2`,
		key.ServiceID, key.Number).Scan(&id, &detail)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", httpapi.NewProblem(http.StatusNotFound, "not_found", "the service has no instance %d", key.Number)
	}
	if err != nil {
		return "", fmt.Errorf("look up instance %s: %w", key, err)
	}
	if id == "" {
		return "", conflict(wire.StreamNotRunning, "instance %d is in no cluster yet: %s", key.Number, detail)
	}
	return id, nil
}

// askForStream puts a request where whichever process answers the cluster finds it, and takes away what others have left.
func (r *Root) askForStream(ctx context.Context, clusterID string, key wire.InstanceKey, m *rendezvous.Meeting) error {
	return store.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM stream_request WHERE id IN (SELECT id FROM stream_request WHERE expires_at < now() FOR UPDATE SKIP LOCKED)`); err != nil {
			return fmt.Errorf("forget old requests for streams: %w", err)
		}
		_, err := tx.Exec(ctx, `INSERT INTO stream_request (id, cluster_id, service_id, number, secret, url, expires_at) VALUES ($1, $2, $3, $4, $5, $6, now() + $7)`,
			m.ID, clusterID, key.ServiceID, key.Number, m.Secret, r.streams.url, wire.StreamConnectTimeout)
		if err != nil {
			return fmt.Errorf("ask for a stream: %w", err)
		}
		_, err = raiseRevision(ctx, tx, clusterID)
		return err
	})
}

// forgetStream takes a request away. One that cannot be is of no use after 10 s, and goes with the next.
func (r *Root) forgetStream(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if _, err := r.pool.Exec(ctx, `DELETE FROM stream_request WHERE id = $1`, id); err != nil {
		r.log.Debug("request for a stream stays until the next", "error", err)
	}
}

// streamRequests lists what users wait for at a cluster.
func streamRequests(ctx context.Context, tx pgx.Tx, clusterID string) ([]wire.StreamRequest, error) {
	rows, err := tx.Query(ctx, `SELECT id, secret, service_id, number, url, (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint
		FROM stream_request WHERE cluster_id = $1 AND expires_at > clock_timestamp() ORDER BY expires_at LIMIT $2`, clusterID, maxStreams)
	if err != nil {
		return nil, fmt.Errorf("list requests for streams: %w", err)
	}
	var list []wire.StreamRequest
	one := wire.StreamRequest{Format: wire.Format}
	_, err = pgx.ForEachRow(rows, []any{&one.ID, &one.Secret, &one.ServiceID, &one.Number, &one.URL, &one.TTLMillis}, func() error {
		list = append(list, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list requests for streams: %w", err)
	}
	return list, nil
}

// begin says what a stream is for and waits until it has begun.
func begin(ctx context.Context, conn *stream.Conn, start wire.StreamStartMessage) error {
	ctx, cancel := context.WithTimeoutCause(ctx, beginTimeout, fmt.Errorf("it has not begun within %s", beginTimeout))
	defer cancel()
	if err := conn.SendJSON(wire.StreamStart, start); err != nil {
		return streamProblem(wire.StreamEndMessage{Code: wire.StreamLost, Error: err.Error()})
	}
	kind, data, err := conn.Receive(ctx)
	if err != nil {
		return streamProblem(wire.StreamEndMessage{Code: wire.StreamLost, Error: err.Error()})
	}
	switch kind {
	case wire.StreamStart:
		return nil
	case wire.StreamEnd:
		var end wire.StreamEndMessage
		if err := json.Unmarshal(data, &end); err != nil || end.Error == "" {
			end = wire.StreamEndMessage{Error: "the worker ended the stream before it began"}
		}
		return streamProblem(end)
	}
	return streamProblem(wire.StreamEndMessage{Error: fmt.Sprintf("the worker began with a message of kind %d", kind)})
}

// streamProblem tells a user why a stream has not begun.
func streamProblem(end wire.StreamEndMessage) error {
	status := http.StatusBadGateway
	switch end.Code {
	case wire.StreamNotFound, wire.StreamNotRunning:
		status = http.StatusConflict
	case wire.StreamBadCommand, wire.StreamRefused:
		status = http.StatusUnprocessableEntity
	case wire.StreamBusy:
		status = http.StatusTooManyRequests
	case "":
		end.Code = wire.StreamFailed
	}
	return httpapi.NewProblem(status, end.Code, "%s", end.Error)
}

// instanceOf returns the instance that a path is about.
func instanceOf(c echo.Context) (wire.InstanceKey, error) {
	n, err := strconv.Atoi(c.Param("number"))
	if err != nil || n < 0 || n > math.MaxInt32 {
		return wire.InstanceKey{}, httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_number", "the instance must be a number, 0 or more")
	}
	return wire.InstanceKey{ServiceID: named(c, keyService), Number: n}, nil
}

// whileLoggedIn returns a context that ends when a user's login does, or when he may not do any more what he does. An answer that the
// database does not give changes nothing.
func (r *Root) whileLoggedIn(ctx context.Context, p users.Principal, may func(users.Principal) bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(lookAgain)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now, err := r.users.Present(ctx, p.Session)
			if errors.Is(err, users.ErrToken) || err == nil && !may(now) {
				cancel(errLoggedOut)
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

var errLoggedOut = errors.New("the login has ended, or its rights have")
