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

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/abroad"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// abroadSpacing is the least time between two looks at what a cluster has to know of others: hints come in bursts.
const abroadSpacing = 20 * time.Millisecond

// reportOverlay stores what a cluster says of its overlay on behalf of others, and answers once that is committed.
func (r *Root) reportOverlay(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	var in wire.ClusterOverlay
	if err := httpapi.DecodeLoose(c, &in); err != nil {
		return err
	}
	if err := in.Check(); err != nil {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "newer_format", "%v", err).At("$.format")
	}
	var stored abroad.Stored
	var now wire.Stamp
	err := store.InTx(ctx, r.pool, func(tx pgx.Tx) (err error) {
		if now, err = readStamp(ctx, tx, id); err != nil {
			return err
		}
		stored, err = abroad.Store(ctx, tx, r.ranges, now.Epoch, id, &in)
		return err
	})
	if errors.Is(err, abroad.ErrStale) {
		return conflict("stale_report", "%v", err)
	}
	if err != nil {
		return err
	}
	if len(stored.Refused) > 0 {
		r.log.Warn("cluster says of its overlay what cannot be; the rest counts", "cluster", id, "refused", stored.Refused)
	}
	return c.JSON(http.StatusOK, wire.ClusterOverlayAck{Header: wire.NewHeader(now), SendFull: stored.SendFull})
}

// abroadQuery is what a cluster asks with.
type abroadQuery struct {
	Held string `query:"held" description:"names what the cluster holds, as the last answer did"`
	Wait string `query:"wait" description:"how long to wait for a change, such as 30s"`
}

// abroad is the blocking query for what a cluster has to know of others. It answers at once if the cluster does not hold what there is, else
// as soon as it is another, or with nothing when the wait is over.
func (r *Root) abroad(c echo.Context) error {
	ctx, id, held := c.Request().Context(), c.Param("id"), c.QueryParam("held")
	_, wait, err := desiredQuery(c)
	if err != nil {
		return err
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for over := false; ; {
		hints := []<-chan struct{}{r.hub.wait(abroad.Channel, id), r.hub.wait(abroad.Channel, "")} // before looking
		answer, news, err := r.readAbroad(ctx, id, held)
		if err != nil {
			return err
		}
		if news || over {
			return c.JSON(http.StatusOK, answer)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(abroadSpacing):
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hints[0]:
		case <-hints[1]:
		case <-poll.C:
		case <-deadline.C:
			over = true
		}
	}
}

// readAbroad returns what the cluster lacks of what it has to know, and whether that is anything.
func (r *Root) readAbroad(ctx context.Context, id, held string) (m *wire.ClusterAbroad, news bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, httpapi.RequestTimeout)
	defer cancel()
	var now wire.Stamp
	err = pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if now, err = readStamp(ctx, tx, id); err != nil {
			return err
		}
		m, err = abroad.View(ctx, tx, now.Epoch, id)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("read what cluster %s has to know of others: %w", id, err)
	}
	m.Header = wire.NewHeader(now)
	return m, r.held.Reduce(id, held, m, time.Now()), nil
}
