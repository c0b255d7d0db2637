// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// Root knows no worker. It asks a cluster by raising a number in its desired state, and the cluster tells of its workers, if it does so at
// all, with its next report.
const (
	// askWait is how long a request waits for the cluster, askPoll how often it looks.
	askWait = 5 * time.Second
	askPoll = 50 * time.Millisecond
	// tellFresh is for how long an answer serves further requests.
	tellFresh = 2 * time.Second
	// askAtOnce bounds how many clusters one request asks at the same time.
	askAtOnce = 16
	// maxReason bounds why a worker is to be used for something, in bytes.
	maxReason = 256
)

// workerJSON is a worker as its cluster told of it.
type workerJSON struct {
	wire.WorkerView
	ClusterID   string `json:"cluster_id"`
	ClusterName string `json:"cluster_name"`
	// AsOf is when the cluster told this. It is old if the cluster does not answer.
	AsOf time.Time `json:"as_of"`
	// Wanted is the last order of an administrator, absent if there was none. The cluster may have been told otherwise since, on its own machine.
	Wanted *orderJSON `json:"wanted,omitempty"`
}

// orderJSON is what an administrator wants of a worker.
type orderJSON struct {
	Mode   wire.WorkerMode `json:"mode"`
	Reason string          `json:"reason"`
	By     string          `json:"by"`
	At     time.Time       `json:"at"`
	// Taken says that the cluster has the order.
	Taken bool `json:"taken"`
}

// modeBody says what a worker is to be used for.
type modeBody struct {
	Mode   wire.WorkerMode `json:"mode" enum:"open,cordoned,drained"`
	Reason string          `json:"reason"`
}

// listWorkers lists the workers of one cluster.
func (r *Root) listWorkers(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	if err := r.askWorkers(ctx, id); err != nil {
		return err
	}
	list, err := r.queryWorkers(ctx, `c.id = $1`, id)
	if err != nil {
		return err
	}
	if list, err = httpapi.Select(c, list, func(w workerJSON) string { return w.Name + "\n" + w.ID }); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list)
}

// listAllWorkers lists the workers of all clusters. One that does not answer is shown as it was, which as_of tells.
func (r *Root) listAllWorkers(c echo.Context) error {
	ctx := c.Request().Context()
	if err := r.askAll(ctx); err != nil {
		return err
	}
	list, err := r.queryWorkers(ctx, `true`)
	if err != nil {
		return err
	}
	if list, err = httpapi.Select(c, list, func(w workerJSON) string { return w.ClusterName + "\n" + w.Name + "\n" + w.ID }); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list)
}

// getWorker shows one worker, of whichever cluster.
func (r *Root) getWorker(c echo.Context) error {
	w, err := r.findWorker(c.Request().Context(), c.Param("worker"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, w)
}

// findWorker asks the worker's cluster, or all if none has ever told of it.
func (r *Root) findWorker(ctx context.Context, id string) (workerJSON, error) {
	clusterID, err := r.clusterOf(ctx, id)
	if err == nil && clusterID == "" {
		if err = r.askAll(ctx); err == nil {
			clusterID, err = r.clusterOf(ctx, id)
		}
	}
	if err != nil {
		return workerJSON{}, err
	}
	if clusterID == "" {
		return workerJSON{}, notFound("worker", id)
	}
	// A cluster that is away is shown as it was.
	var silent *httpapi.Problem
	if err := r.askWorkers(ctx, clusterID); err != nil && !errors.As(err, &silent) {
		return workerJSON{}, err
	}
	list, err := r.queryWorkers(ctx, `c.id = $1`, clusterID)
	if err != nil {
		return workerJSON{}, err
	}
	for _, w := range list {
		if w.ID == id {
			return w, nil
		}
	}
	return workerJSON{}, notFound("worker", id)
}

// clusterOf returns the cluster that has last told of a worker, "" if none has.
func (r *Root) clusterOf(ctx context.Context, worker string) (id string, err error) {
	err = r.pool.QueryRow(ctx, `SELECT id FROM cluster WHERE workers @> jsonb_build_array(jsonb_build_object('id', $1::text)) ORDER BY workers_told_at DESC LIMIT 1`,
		worker).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look up worker: %w", err)
	}
	return id, nil
}

// setMode says what a worker is to be used for. It is so once the cluster has taken the order, which the worker's own page shows.
func (r *Root) setMode(c echo.Context) error {
	var body modeBody
	if err := httpapi.Decode(c, &body); err != nil {
		return err
	}
	if !body.Mode.Valid() {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_mode", "must be %s, %s or %s", wire.WorkerOpen, wire.WorkerCordoned, wire.WorkerDrained).At("$.mode")
	}
	if len(body.Reason) > maxReason || !printable(body.Reason) {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_reason", "must have at most %d bytes, all printable", maxReason).At("$.reason")
	}
	ctx, id := c.Request().Context(), c.Param("worker")
	w, err := r.findWorker(ctx, id)
	if err != nil {
		return err
	}
	err = r.placing(ctx, func(tx pgx.Tx) error {
		revision, err := raiseRevision(ctx, tx, w.ClusterID)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO worker_order (cluster_id, worker_id, mode, reason, epoch, revision, ordered_by)
			SELECT $1, $2, $3, $4, value, $5, $6 FROM epoch ON CONFLICT (cluster_id, worker_id) DO UPDATE SET mode = excluded.mode,
			reason = excluded.reason, epoch = excluded.epoch, revision = excluded.revision, ordered_by = excluded.ordered_by, ordered_at = now()`,
			w.ClusterID, id, string(body.Mode), body.Reason, revision, principal(c).Name)
		return err
	})
	if err != nil {
		return fmt.Errorf("order worker %s to be %s: %w", id, body.Mode, err)
	}
	r.log.Info("worker is to be used otherwise", "worker", id, "cluster", w.ClusterID, "mode", body.Mode, "reason", body.Reason, "by", principal(c).ID)
	w.Wanted = &orderJSON{Mode: body.Mode, Reason: body.Reason, By: principal(c).Name, At: time.Now().UTC()}
	return c.JSON(http.StatusOK, w)
}

// queryWorkers returns what clusters have told of their workers; where is one of this file's own conditions, never a user's.
func (r *Root) queryWorkers(ctx context.Context, where string, args ...any) ([]workerJSON, error) {
	rows, err := r.pool.Query(ctx, `SELECT c.id, c.name, c.workers_told_at, w.value, o.mode, o.reason, o.ordered_by, o.ordered_at,
		coalesce((c.applied_epoch, c.applied) >= (o.epoch, o.revision), false)
		FROM cluster c CROSS JOIN jsonb_array_elements(c.workers) w LEFT JOIN worker_order o ON o.cluster_id = c.id AND o.worker_id = w.value->>'id'
		WHERE `+where+` ORDER BY c.name, w.value->>'name', w.value->>'id'`, args...)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	list := []workerJSON{}
	var one workerJSON
	var mode, reason, by *string
	var at *time.Time
	var taken bool
	into := []any{&one.ClusterID, &one.ClusterName, &one.AsOf, &one.WorkerView, &mode, &reason, &by, &at, &taken}
	_, err = pgx.ForEachRow(rows, into, func() error {
		if mode != nil {
			one.Wanted = &orderJSON{Mode: wire.WorkerMode(*mode), Reason: *reason, By: *by, At: *at, Taken: taken}
		}
		list = append(list, one)
		one = workerJSON{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return list, nil
}

// askAll asks all clusters that report for their workers, and waits for them for as long as for one.
func (r *Root) askAll(ctx context.Context) error {
	rows, err := r.pool.Query(ctx, `SELECT id FROM cluster WHERE reported_at > now() - $1::interval ORDER BY id`, activeFor)
	if err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askAtOnce)
	for _, id := range ids {
		group.Go(func() error {
			var silent *httpapi.Problem
			if err := r.askWorkers(ctx, id); err != nil && !errors.As(err, &silent) {
				return err
			}
			return nil
		})
	}
	return group.Wait()
}

// asking is how far the conversation with a cluster about its workers is.
type asking struct {
	asked, answered         int64
	fresh, active, withheld bool
}

func (r *Root) readAsking(ctx context.Context, q store.Querier, id string) (a asking, err error) {
	err = q.QueryRow(ctx, `SELECT workers_asked, workers_answered, coalesce(workers_told_at > now() - $2::interval, false),
		coalesce(reported_at > now() - $3::interval, false), workers_withheld FROM cluster WHERE id = $1`, id, tellFresh, activeFor).
		Scan(&a.asked, &a.answered, &a.fresh, &a.active, &a.withheld)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, notFound("cluster", id)
	}
	if err != nil {
		return a, fmt.Errorf("read cluster %s: %w", id, err)
	}
	return a, nil
}

// askWorkers has a cluster tell of its workers, unless it just has. It fails with a [*httpapi.Problem] if the cluster does not.
func (r *Root) askWorkers(ctx context.Context, id string) error {
	a, err := r.readAsking(ctx, r.pool, id)
	if err != nil {
		return err
	}
	if !a.fresh {
		if a, err = r.ask(ctx, id, a); err != nil {
			return err
		}
	}
	if a.withheld {
		return httpapi.NewProblem(http.StatusForbidden, "workers_withheld", "the cluster %s tells nothing of single workers (--hide-workers): ask on its own machine", id)
	}
	return nil
}

// ask raises the number of the question, unless one is open, and waits for the answer.
func (r *Root) ask(ctx context.Context, id string, a asking) (asking, error) {
	if !a.active {
		return a, clusterSilent(id)
	}
	if a.asked == a.answered {
		err := store.InTx(ctx, r.pool, func(tx pgx.Tx) error {
			if _, err := raiseRevision(ctx, tx, id); err != nil {
				return err
			}
			return tx.QueryRow(ctx, `UPDATE cluster SET workers_asked = greatest(workers_asked, workers_answered + 1) WHERE id = $1 RETURNING workers_asked`, id).Scan(&a.asked)
		})
		if err != nil {
			return a, fmt.Errorf("ask cluster %s for its workers: %w", id, err)
		}
	}
	wait, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	poll := time.NewTicker(askPoll)
	defer poll.Stop()
	for {
		select {
		case <-wait.Done():
			if err := ctx.Err(); err != nil {
				return a, err
			}
			return a, clusterSilent(id)
		case <-poll.C:
		}
		now, err := r.readAsking(wait, r.pool, id)
		if wait.Err() != nil {
			continue
		}
		if err != nil {
			return a, err
		}
		if now.answered >= a.asked {
			return now, nil
		}
	}
}

func clusterSilent(id string) error {
	return httpapi.NewProblem(http.StatusGatewayTimeout, "cluster_silent",
		"the cluster %s does not tell of its workers: it is away, or of a version that cannot", id)
}
