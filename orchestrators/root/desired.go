// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// pollEvery is how often a waiting query looks for itself: hints may be lost.
const pollEvery = 5 * time.Second

// desired is the blocking query for a cluster's desired state. It answers at once if the state is another than the one asked
// about, else as soon as it is, or when the wait is over.
func (r *Root) desired(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	asked, wait, err := desiredQuery(c)
	if err != nil {
		return err
	}
	if err := r.overrule(ctx, id, asked); err != nil && !errors.Is(err, store.ErrEpochAhead) {
		return err // of an epoch that is refused, everything is told, as of any foreign one
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for over := false; ; {
		hint := r.hub.wait(desiredChannel, id) // before looking, so that no change falls between
		now, err := r.stampOf(ctx, id)
		if err != nil {
			return err
		}
		if now != asked || over {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hint:
		case <-poll.C:
		case <-deadline.C:
			over = true
		}
	}
	answer, err := r.readDesired(ctx, id, asked)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answer)
}

func desiredQuery(c echo.Context) (asked wire.Stamp, wait time.Duration, err error) {
	number := func(key string) uint64 {
		v, e := strconv.ParseUint(c.QueryParam(key), 10, 63)
		if e != nil && c.QueryParam(key) != "" {
			err = httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_query", "%s must be a whole number", key)
		}
		return v
	}
	asked = wire.Stamp{Epoch: number("epoch"), Revision: number("since")}
	if text := c.QueryParam("wait"); text != "" {
		d, e := time.ParseDuration(text)
		if e != nil || d < 0 {
			err = httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_query", "wait must be a duration such as 30s")
		}
		wait = min(d, wire.MaxWait)
	}
	return asked, wait, err
}

const selectStamp = `SELECT epoch.value, cluster.revision FROM epoch, cluster WHERE cluster.id = $1`

func (r *Root) stampOf(ctx context.Context, id string) (wire.Stamp, error) {
	return readStamp(ctx, r.pool, id)
}

func readStamp(ctx context.Context, q store.Querier, id string) (wire.Stamp, error) {
	var epoch, revision int64
	err := q.QueryRow(ctx, selectStamp, id).Scan(&epoch, &revision)
	if errors.Is(err, pgx.ErrNoRows) {
		return wire.Stamp{}, httpapi.NewProblem(http.StatusNotFound, "unknown_cluster", "this root does not know the cluster %s: join again", id)
	}
	if err != nil {
		return wire.Stamp{}, fmt.Errorf("read revision of cluster %s: %w", id, err)
	}
	return wire.Stamp{Epoch: uint64(epoch), Revision: uint64(revision)}, nil
}

// readDesired reads what has changed for a cluster since the stamp, or everything if the stamp is of another epoch or of the
// future. Tombstones are all told each time.
func (r *Root) readDesired(ctx context.Context, id string, since wire.Stamp) (*wire.ClusterDesired, error) {
	var d *wire.ClusterDesired
	err := pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		now, err := readStamp(ctx, tx, id)
		if err != nil {
			return err
		}
		d = &wire.ClusterDesired{Header: wire.NewHeader(now), Ranges: r.ranges}
		d.Full = since.Epoch != now.Epoch || since.Revision == 0 || since.Revision > now.Revision
		if d.Full {
			since.Revision = 0
		}
		if d.Changed, err = desiredInstances(ctx, tx, id, since.Revision); err != nil {
			return err
		}
		if d.Removed, err = tombstones(ctx, tx, id); err != nil {
			return err
		}
		if d.Orders, d.ShowWorkers, err = workerOrders(ctx, tx, id, since.Revision); err != nil {
			return err
		}
		if d.Streams, err = streamRequests(ctx, tx, id); err != nil {
			return err
		}
		d.Subnets, err = addresses.Blocks(ctx, tx, r.ranges, id)
		return err
	})
	return d, err
}

func desiredInstances(ctx context.Context, tx pgx.Tx, id string, since uint64) ([]wire.ClusterInstance, error) {
	rows, err := tx.Query(ctx, `SELECT service_id, number, placement, spec, near FROM instance
		WHERE cluster_id = $1 AND revision > $2 AND deleted_at IS NULL ORDER BY revision`, id, int64(since))
	if err != nil {
		return nil, fmt.Errorf("list instances of cluster %s: %w", id, err)
	}
	list := []wire.ClusterInstance{}
	var one wire.ClusterInstance
	var near []wire.Proximity
	_, err = pgx.ForEachRow(rows, []any{&one.ServiceID, &one.Number, &one.Placement, &one.Spec, &near}, func() error {
		one.Spec.Near, near = near, nil
		list = append(list, one)
		one = wire.ClusterInstance{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list instances of cluster %s: %w", id, err)
	}
	return list, nil
}

func tombstones(ctx context.Context, tx pgx.Tx, id string) ([]wire.Tombstone, error) {
	rows, err := tx.Query(ctx, `SELECT service_id, number, placement FROM tombstone WHERE cluster_id = $1 ORDER BY revision`, id)
	if err != nil {
		return nil, fmt.Errorf("list tombstones of cluster %s: %w", id, err)
	}
	list := []wire.Tombstone{}
	one := wire.Tombstone{Generation: wire.Generation{Move: math.MaxUint32}}
	_, err = pgx.ForEachRow(rows, []any{&one.ServiceID, &one.Number, &one.Generation.Placement}, func() error {
		list = append(list, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tombstones of cluster %s: %w", id, err)
	}
	return list, nil
}
