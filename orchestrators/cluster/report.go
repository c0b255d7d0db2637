// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/uplink"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

const (
	reportEvery = wire.ClusterReportEvery
	// gatherReports is how long news is gathered into one report.
	gatherReports = 10 * time.Millisecond
	maxGather     = 50 * time.Millisecond
)

// told is what root has acknowledged of one line.
type told struct {
	generation wire.Generation
	state      wire.State
	detail     string
	restarts   int
	leaving    bool
	ready      int8 // -1 unknown, else 0 or 1
	cpu        float64
	memory     int64
	scheduling *wire.Explanation
}

// same reports whether root need not hear of r. Use counts only when it has changed by a twentieth of a processor or of the memory,
// and then only in the regular report.
func (t told) same(r wire.InstanceReport, regular bool) bool {
	if t.generation != r.Generation || t.state != r.State || t.detail != r.Detail || t.restarts != r.Restarts || t.leaving != r.Leaving || t.ready != readiness(r.Ready) {
		return false
	}
	used := math.Abs(t.cpu-r.CPUPercent) >= 5 || math.Abs(float64(t.memory-r.MemoryBytes)) >= float64(max(t.memory, 1<<20))/20
	return !regular || !used
}

func readiness(ready *bool) int8 {
	switch {
	case ready == nil:
		return -1
	case *ready:
		return 1
	}
	return 0
}

// reporter is the state of the conversation. Only its own goroutine uses it.
type reporter struct {
	c        *Cluster
	client   *uplink.Client
	told     map[string]told
	full     bool
	unknown  []wire.InstanceKey // what root has asked for
	revision uint64
}

// runReports tells root of the cluster every 5 s, and at once when something is news.
func (c *Cluster) runReports(ctx context.Context, client *uplink.Client) {
	r := &reporter{c: c, client: client, told: map[string]told{}, full: true}
	retry := uplink.Backoff{Least: 200 * time.Millisecond, Most: reportEvery}
	regular := true
	for {
		began := time.Now()
		if err := r.send(ctx, regular); err != nil {
			if refused := (*uplink.Refusal)(nil); !errors.As(err, &refused) && !store.IsUnavailable(err) {
				c.setConnected(false)
			}
			if ctx.Err() == nil {
				c.logAway("root has not taken the report; it is sent again", err)
			}
			if !retry.Wait(ctx) {
				return
			}
			continue
		}
		retry.Reset()
		if r.full {
			continue // root asks for everything
		}
		took := time.Since(began)
		timer := time.NewTimer(reportEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			regular = true
		case <-c.wakeReporter:
			timer.Stop()
			regular = false
			// In a storm of news half of the time is for others.
			time.Sleep(min(max(gatherReports, took), maxGather))
		}
	}
}

func (r *reporter) send(ctx context.Context, regular bool) error {
	c, now := r.c, time.Now()
	workers := c.answerRoot()
	c.mu.Lock()
	all := c.ledger.Reports(now)
	m := &wire.ClusterReport{Applied: c.link.Applied, Aggregate: c.ledger.Aggregate(now), Full: r.full, FreeSubnets: c.free, WantedSubnets: c.demand.wanted(now),
		Instances: []wire.InstanceReport{}, TellsSpecs: true,
		SpecsTold: len(r.unknown) > 0, Specs: c.ledger.Specs(r.unknown)}
	if regular {
		m.RoundTrips = c.ledger.RoundTripsAbroad()
	}
	c.mu.Unlock()
	r.revision++
	m.Header = wire.NewHeader(wire.Stamp{Epoch: c.epoch.Load(), Revision: r.revision})
	m.Aggregate.Location = c.opts.Location
	m.Workers = workers
	lines := map[string]told{}
	for _, line := range all {
		t, ok := r.told[line.Name]
		if r.full || !ok || !t.same(line.InstanceReport, regular) {
			next := told{line.Generation, line.State, line.Detail, line.Restarts, line.Leaving, readiness(line.Ready), line.CPUPercent, line.MemoryBytes, line.Scheduling}
			if t.scheduling == line.Scheduling && !r.full {
				line.Scheduling = nil // root has it
			}
			m.Instances = append(m.Instances, line.InstanceReport)
			t = next
		}
		lines[line.Name] = t
	}
	ack, err := r.client.Report(ctx, m)
	if err != nil {
		return err
	}
	c.setConnected(true)
	if workers != nil {
		c.mu.Lock()
		c.answered = workers.Answers
		c.mu.Unlock()
	}
	if err := c.commit(ctx, func(l *ledger.Ledger) ledger.Changes { return l.Acknowledge(m.Instances) }); err != nil {
		return err // what could not be forgotten is told again, so that it is acknowledged again
	}
	// Root gets one full report at a time, and one more with what it did not know of the first.
	r.told, r.full = lines, ack.SendFull && (!r.full || len(ack.Unknown) > 0)
	r.unknown = ack.Unknown
	return nil
}
