// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// report stores what a cluster says of itself and its instances, and answers once that is committed.
func (r *Root) report(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	var in wire.ClusterReport
	if err := httpapi.DecodeLoose(c, &in); err != nil {
		return err
	}
	if err := in.Check(); err != nil {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "newer_format", "%v", err).At("$.format")
	}
	if dropped := cleanReport(&in); dropped > 0 {
		r.log.Warn("cluster reports what is no state of an instance; the rest counts", "cluster", id, "dropped", dropped)
	}
	if err := r.overrule(ctx, id, in.Applied); err != nil {
		return err
	}
	var ack wire.ClusterReportAck
	err := r.placing(ctx, func(tx pgx.Tx) (err error) {
		ack, err = r.applyReport(ctx, tx, id, &in)
		return err
	})
	if err != nil {
		return err
	}
	r.wakeRetry()
	r.wakeRollouts()
	return c.JSON(http.StatusOK, ack)
}

// overrule raises the epoch above one that a cluster has seen from this root, or of which it has seen a later revision than
// there is: the database is older than what it published, as after a restore.
func (r *Root) overrule(ctx context.Context, id string, seen wire.Stamp) error {
	now, err := readStamp(ctx, r.pool, id)
	if err != nil || !seen.After(now) {
		return err
	}
	raised, err := store.RaiseEpochAbove(ctx, r.pool, seen.Epoch)
	switch {
	case errors.Is(err, store.ErrEpochAhead):
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "epoch_refused", "%v", err).At("$.applied.epoch").Because(err)
	case err != nil:
		return err
	}
	r.log.Warn("a cluster knows a newer state of this root than the database: was it restored? everything is sent again",
		"seen", seen.String(), "known", now.String(), "epoch", raised)
	return nil
}

func (r *Root) applyReport(ctx context.Context, tx pgx.Tx, id string, in *wire.ClusterReport) (wire.ClusterReportAck, error) {
	var epoch, revision, lastEpoch, last, fullIn int64
	err := tx.QueryRow(ctx, `SELECT epoch.value, c.revision, c.report_epoch, c.report, c.full_in_epoch FROM epoch, cluster c
		WHERE c.id = $1 FOR UPDATE OF c`, id).Scan(&epoch, &revision, &lastEpoch, &last, &fullIn)
	if errors.Is(err, pgx.ErrNoRows) {
		return wire.ClusterReportAck{}, httpapi.NewProblem(http.StatusNotFound, "unknown_cluster", "this root does not know the cluster %s: join again", id)
	}
	if err != nil {
		return wire.ClusterReportAck{}, fmt.Errorf("read cluster %s: %w", id, err)
	}
	ack := wire.ClusterReportAck{Header: wire.NewHeader(wire.Stamp{Epoch: uint64(epoch), Revision: uint64(revision)})}
	before := wire.Stamp{Epoch: uint64(lastEpoch), Revision: uint64(last)}
	if before.After(in.Stamp) {
		// Answering as if it had been stored would lose what it says, should the sender's stamps have gone back.
		return ack, conflict("stale_report", "the report is older (%s) than one that root has (%s)", in.Stamp, before)
	}
	// A placement that root does not know is believed once an epoch, in the first full report: the database may have been
	// restored. Later it is a claim to what is another's.
	mayAdopt := in.Full && fullIn != epoch && fullIn != -epoch
	if err := r.applyInstances(ctx, tx, id, in, mayAdopt, &ack); err != nil {
		return ack, err
	}
	if err := buryReplaced(ctx, tx, id); err != nil {
		return ack, err
	}
	if in.Full {
		fullIn = epoch
		if len(ack.Unknown) > 0 {
			fullIn = -epoch // all is told but for what has just been asked for
		}
	}
	ack.SendFull = fullIn != epoch || len(ack.Unknown) > 0 || before.Epoch != in.Epoch && !in.Full
	if err := tryAgain(ctx, tx, id, in.Aggregate.Gains); err != nil {
		return ack, err
	}
	_, err = tx.Exec(ctx, `UPDATE cluster SET applied_epoch = $2, applied = $3, report_epoch = $4, report = $5, reported_at = now(),
		full_in_epoch = $6, aggregate = $7, free_subnets = $8,
		location = CASE WHEN $9 = '' THEN location ELSE $9 END WHERE id = $1`,
		id, int64(in.Applied.Epoch), int64(in.Applied.Revision), int64(in.Epoch), int64(in.Revision), fullIn, in.Aggregate,
		min(max(in.FreeSubnets, 0), 1<<30), in.Aggregate.Location)
	if err != nil {
		return ack, fmt.Errorf("store report of cluster %s: %w", id, err)
	}
	if err := storeRoundTrips(ctx, tx, id, in.RoundTrips); err != nil {
		return ack, err
	}
	if err := storeWorkers(ctx, tx, id, in.Workers); err != nil {
		return ack, err
	}
	return ack, r.renewSubnets(ctx, tx, id, in)
}

// renewSubnets leases more blocks to a cluster that runs short, or is about to, unless it has not seen the last change yet: that may have
// been a block. A full pool is no reason to refuse a report.
func (r *Root) renewSubnets(ctx context.Context, tx pgx.Tx, id string, in *wire.ClusterReport) error {
	wanted := min(max(in.WantedSubnets, 0), wire.MaxWantedSubnets)
	lacking := max(wanted, semantic.BlockLow) - max(in.FreeSubnets, 0)
	if lacking <= 0 {
		return nil
	}
	var known bool
	err := tx.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM subnet_block WHERE cluster_id = $1 AND revision > $2) FROM epoch WHERE value = $3`,
		id, int64(in.Applied.Revision), int64(in.Applied.Epoch)).Scan(&known)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !known {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up blocks of cluster %s: %w", id, err)
	}
	return r.leaseBlocks(ctx, tx, id, (lacking+semantic.BlockSubnets-1)/semantic.BlockSubnets, in.FreeSubnets < semantic.BlockLow)
}

func (r *Root) leaseBlocks(ctx context.Context, tx pgx.Tx, id string, n int, short bool) error {
	// The pool is looked at first, so that a full one changes nothing.
	revision, err := readStamp(ctx, tx, id)
	if err != nil {
		return err
	}
	var full *addresses.FullError
	err = addresses.LeaseBlocks(ctx, tx, r.ranges, id, int64(revision.Revision)+1, n)
	if errors.As(err, &full) && !short {
		return nil // it might have needed more soon
	}
	if errors.As(err, &full) {
		r.log.Error("no worker subnets left for a cluster that runs short", "cluster", id, "error", full)
		return nil
	}
	if err != nil {
		return err
	}
	_, err = raiseRevision(ctx, tx, id)
	return err
}
