// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// WorkerView is one line of GET /api/v1/workers: what root is told when it asks, too.
type WorkerView = wire.WorkerView

// maxReason bounds why a worker is to be used for something, in bytes.
const maxReason = 256

// ModeBody is what PUT /api/v1/workers/ID/mode takes.
type ModeBody struct {
	Mode   wire.WorkerMode `json:"mode"`
	Reason string          `json:"reason"`
}

// view returns what is told of a worker. Callers hold mu.
func (c *Cluster) view(id string, now time.Time) (wire.WorkerView, bool) {
	v, ok := c.ledger.View(id, now)
	if ok {
		w, _ := c.ledger.Worker(id)
		v.Location = c.locationOf(w)
	}
	return v, ok
}

// views returns what is told of all workers.
func (c *Cluster) views() []wire.WorkerView {
	now := time.Now()
	all := []wire.WorkerView{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.ledger.Workers() {
		v, _ := c.view(id, now)
		all = append(all, v)
	}
	return all
}

func (c *Cluster) getWorkers(ec echo.Context) error { return ec.JSON(http.StatusOK, c.views()) }

func (c *Cluster) getWorker(ec echo.Context) error {
	c.mu.Lock()
	v, ok := c.view(ec.Param("id"), time.Now())
	c.mu.Unlock()
	if !ok {
		return noWorker(ec.Param("id"))
	}
	return ec.JSON(http.StatusOK, v)
}

// putMode opens, cordons or drains a worker by the word of who sits at the cluster's own machine.
func (c *Cluster) putMode(ec echo.Context) error {
	var body ModeBody
	if err := httpapi.Decode(ec, &body); err != nil {
		return err
	}
	if !body.Mode.Valid() {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_mode", "must be %s, %s or %s",
			wire.WorkerOpen, wire.WorkerCordoned, wire.WorkerDrained).At("$.mode")
	}
	if len(body.Reason) > maxReason {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_reason", "must have at most %d bytes", maxReason).At("$.reason")
	}
	known := false
	err := c.commit(ec.Request().Context(), func(l *ledger.Ledger) (ch ledger.Changes) {
		ch, known = l.SetMode(ec.Param("id"), body.Mode, body.Reason)
		return ch
	})
	if err != nil {
		return err
	}
	if !known {
		return noWorker(ec.Param("id"))
	}
	c.log.Info("worker is to be used otherwise", "worker", ec.Param("id"), "mode", body.Mode, "reason", body.Reason)
	wake(c.wakeDecider)
	return c.getWorker(ec)
}

func noWorker(id string) error {
	return httpapi.NewProblem(http.StatusNotFound, "not_found", "no worker %s has joined this cluster", id)
}

// loopback lets only requests from this machine through: certificates are what every worker has.
func loopback(next echo.HandlerFunc) echo.HandlerFunc {
	return func(ec echo.Context) error {
		peer, err := netip.ParseAddrPort(ec.Request().RemoteAddr)
		if err != nil || !peer.Addr().Unmap().IsLoopback() {
			return httpapi.NewProblem(http.StatusForbidden, "not_here", "this is for requests from the cluster orchestrator's own machine")
		}
		return next(ec)
	}
}

// answerRoot returns what root has asked for of the workers, nil if it has been told. Callers do not hold mu.
func (c *Cluster) answerRoot() *wire.WorkerList {
	c.mu.Lock()
	asked, answered := c.asked, c.answered
	c.mu.Unlock()
	if asked == answered {
		return nil
	}
	list := &wire.WorkerList{Answers: asked, Withheld: c.opts.HideWorkers}
	if !list.Withheld {
		list.Workers = c.views()
	}
	return list
}
