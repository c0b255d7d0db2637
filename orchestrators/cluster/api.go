// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
)

// Paths of the cluster's own REST API.
const (
	PathWorkers   = "/api/v1/workers"
	PathInstances = "/api/v1/instances"
	PathStatus    = "/api/cluster/status"
)

// InstanceView is one line of GET /api/v1/instances: one copy of an instance, or an instance that has none.
type InstanceView struct {
	wire.InstanceReport
	JobName  string `json:"job_name"`
	WorkerID string `json:"worker_id,omitempty"`
	// Stopping says that the copy has a tombstone.
	Stopping bool `json:"stopping,omitempty"`
}

// StatusView is the body of GET /api/cluster/status.
type StatusView struct {
	Name      string `json:"cluster_name"`
	ID        string `json:"cluster_id"`
	Connected bool   `json:"connected_to_root"`
	// Problem says why root's desired state is not taken over, such as for a format that is too new; empty if it is.
	Problem string `json:"problem,omitempty"`
}

func (c *Cluster) routes(brokers []string) http.Handler {
	c.register()
	e := httpapi.New(c.log, httpapi.Ready(c.ready), httpapi.Registry(c.reg))
	e.POST(wire.PathWorkerJoin, c.joinWorker(brokers), httpapi.RefusePlain)
	e.GET(wire.PathWorkerJoin, c.inspectToken, httpapi.RefusePlain)
	e.POST(wire.PathWorkerRenew, c.renewWorker(brokers), httpapi.RefusePlain)
	e.POST(httpapi.Route(wire.PathWorkerSecrets), c.workerSecret, httpapi.RefusePlain, ownWorker)
	e.GET(PathStatus, c.getStatus)
	e.GET(httpapi.Route(wire.PathStream), c.streams.place.Arrive, httpapi.RefusePlain)
	e.GET(PathWorkers, c.getWorkers, local)
	e.GET(PathWorkers+"/:id", c.getWorker, local)
	e.PUT(PathWorkers+"/:id/mode", c.putMode, loopback)
	e.GET(PathInstances, c.getInstances, local)
	return e
}

// ready fails while Postgres is away or root has not taken the cluster in; root itself may be away.
func (c *Cluster) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := c.pool.Ping(ctx); err != nil {
		return errors.New("the database is unavailable")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.link.Joined():
		return errors.New("root has not taken this cluster in yet")
	case !c.link.Ranges.ServicesV4.IsValid():
		return errors.New("root has not told the address ranges yet")
	}
	return nil
}

// local lets requests from this machine and from holders of a certificate of this cluster through.
func local(next echo.HandlerFunc) echo.HandlerFunc {
	return func(ec echo.Context) error {
		peer, err := netip.ParseAddrPort(ec.Request().RemoteAddr)
		loopback := err == nil && peer.Addr().Unmap().IsLoopback()
		if _, ok := identity.PeerID(ec.Request()); !ok && !loopback {
			return httpapi.NewProblem(http.StatusForbidden, "certificate_needed",
				"this is for requests from the cluster orchestrator's own machine, or with a certificate of this cluster")
		}
		return next(ec)
	}
}

func (c *Cluster) getStatus(ec echo.Context) error {
	c.mu.Lock()
	id, problem := c.link.ClusterID, c.problem
	c.mu.Unlock()
	return ec.JSON(http.StatusOK, StatusView{Name: c.opts.Name, ID: id, Connected: c.connected.Load(), Problem: problem})
}

func (c *Cluster) getInstances(ec echo.Context) error {
	all := []InstanceView{}
	shown := map[wire.InstanceKey]bool{}
	c.mu.Lock()
	for _, x := range c.ledger.Copies() {
		r := x.Report
		r.InstanceKey, r.Generation = x.InstanceKey, x.Generation
		all = append(all, InstanceView{InstanceReport: r, JobName: x.Spec.JobName, WorkerID: x.Worker, Stopping: x.Stop})
		shown[x.InstanceKey] = true
	}
	for _, r := range c.ledger.Reports(time.Now()) {
		if !shown[r.InstanceKey] {
			all = append(all, InstanceView{InstanceReport: r.InstanceReport})
		}
	}
	c.mu.Unlock()
	return ec.JSON(http.StatusOK, all)
}
