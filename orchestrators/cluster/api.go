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

// WorkerView is one line of GET /api/v1/workers.
type WorkerView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Status is "ready", "unavailable" or "lost"; Reason says why it is not ready.
	Status  string         `json:"status"`
	Reason  string         `json:"reason,omitempty"`
	Subnets []netip.Prefix `json:"subnets"`
	// Engine and Net say whether NodeEngine and NetManager are connected.
	Engine        bool      `json:"engine_connected"`
	Net           bool      `json:"net_connected"`
	Architecture  string    `json:"architecture"`
	Runtimes      []string  `json:"runtimes"`
	Capacity      wire.Slot `json:"capacity"`
	CPUPercent    float64   `json:"cpu_percent"`
	MemoryPercent float64   `json:"memory_percent"`
	DiskPercent   float64   `json:"disk_percent"`
	// Location is where the worker is; null if unknown.
	Location *wire.Location `json:"location"`
	Version  string         `json:"version"`
}

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
	e.POST(wire.PathWorkerRenew, c.renewWorker(brokers), httpapi.RefusePlain)
	e.POST(httpapi.Route(wire.PathWorkerSecrets), c.workerSecret, httpapi.RefusePlain, ownWorker)
	e.GET(PathStatus, c.getStatus)
	e.GET(PathWorkers, c.getWorkers, local)
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

func (c *Cluster) getWorkers(ec echo.Context) error {
	now := time.Now()
	all := []WorkerView{}
	c.mu.Lock()
	for _, id := range c.ledger.Workers() {
		w, _ := c.ledger.Worker(id)
		status, reason := c.ledger.Status(id, now)
		all = append(all, WorkerView{ID: id, Name: w.Name, Status: status, Reason: reason, Subnets: w.Subnets,
			Engine: w.Engine.Present, Net: w.Net.Present, Architecture: w.Info.Architecture, Runtimes: w.Info.Runtimes,
			Capacity: w.Info.Capacity, CPUPercent: w.Info.CPUPercent, MemoryPercent: w.Info.MemoryPercent,
			DiskPercent: w.Info.DiskPercent, Location: c.locationOf(w), Version: w.Info.Version})
	}
	c.mu.Unlock()
	return ec.JSON(http.StatusOK, all)
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
