// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Shape is what an application is like.
type Shape struct {
	// Name of the application: letters and digits, at most 30.
	Name string
	// Services is how many it has, Instances how many each of them gets.
	Services, Instances int
	// Image is what runs; any name will do for hollow workers.
	Image string
	// Cmd is what is run in it; empty for the image's own.
	Cmd []string
	// MemoryMB and VCPUs are each instance's limits; 0 is none.
	MemoryMB, VCPUs int
	// Node is the only worker that may run it; empty for any.
	Node string
}

// namespace of all applications and services.
const namespace = "sim"

// App is an application at root.
type App struct {
	ID       client.ID
	Services []client.ID
	// Addresses are the round-robin addresses of the services.
	Addresses []netip.Addr

	client *client.Client
	shape  Shape
}

// descriptor is the SLA of the shape.
func (s Shape) descriptor() ([]byte, error) {
	services := make([]map[string]any, s.Services)
	for i := range services {
		m := map[string]any{
			"microserviceID": "", "microservice_name": fmt.Sprintf("s%d", i), "microservice_namespace": namespace, "virtualization": "container",
			"code": s.Image, "memory": s.MemoryMB, "vcpus": s.VCPUs, "vgpus": 0, "vtpus": 0, "bandwidth_in": 0, "bandwidth_out": 0, "storage": 0,
		}
		if len(s.Cmd) > 0 {
			m["cmd"] = s.Cmd
		}
		if s.Node != "" {
			m["constraints"] = []map[string]any{{"type": "direct", "node": s.Node}}
		}
		services[i] = m
	}
	return json.Marshal(map[string]any{"sla_version": "v2.0", "customerID": "Admin", "applications": []map[string]any{{
		"applicationID": "", "application_name": s.Name, "application_namespace": namespace, "microservices": services}}})
}

// Create registers the application and its services, and deploys nothing.
func Create(ctx context.Context, c *client.Client, s Shape) (*App, error) {
	doc, err := s.descriptor()
	if err != nil {
		return nil, fmt.Errorf("write a descriptor: %w", err)
	}
	all, err := c.CreateApplication(ctx, doc)
	if err != nil {
		return nil, fmt.Errorf("create application %s: %w", s.Name, err)
	}
	i := slices.IndexFunc(all, func(a client.Application) bool { return a.Name == s.Name && a.Namespace == namespace })
	if i < 0 {
		return nil, fmt.Errorf("create application %s: root does not list it", s.Name)
	}
	a := &App{ID: all[i].ID, client: c, shape: s}
	services, err := c.Services(ctx, a.ID)
	if err != nil {
		return nil, fmt.Errorf("create application %s: %w", s.Name, err)
	}
	slices.SortFunc(services, func(x, y client.Service) int { return strings.Compare(x.Name, y.Name) })
	for _, v := range services {
		a.Services = append(a.Services, v.ID)
		addr, err := netip.ParseAddr(v.RoundRobin)
		if err != nil {
			return nil, fmt.Errorf("address of service %s: %w", v.Name, err)
		}
		a.Addresses = append(a.Addresses, addr)
	}
	if len(a.Services) != s.Services {
		return nil, fmt.Errorf("create application %s: it has %d services, not %d", s.Name, len(a.Services), s.Services)
	}
	return a, nil
}

// Deploy asks for all instances, so many requests at a time. It returns when all have been answered.
func (a *App) Deploy(ctx context.Context, parallel int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for n := range a.shape.Instances * len(a.Services) {
		group.Go(func() error { return a.client.AddInstance(ctx, a.Services[n%len(a.Services)]) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("deploy application %s: %w", a.shape.Name, err)
	}
	return nil
}

// Scale has root keep all instances, service by service, so many requests at a time. It returns when all have been answered.
func (a *App) Scale(ctx context.Context, parallel int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, s := range a.Services {
		group.Go(func() error { return a.client.Scale(ctx, s, a.shape.Instances) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("scale application %s: %w", a.shape.Name, err)
	}
	return nil
}

// One deploys one instance of a service and returns how long it took from the request until root's API showed it running. It is asked every so
// often.
func (a *App) One(ctx context.Context, service client.ID, every time.Duration) (time.Duration, error) {
	began := time.Now()
	if err := a.client.AddInstance(ctx, service); err != nil {
		return 0, fmt.Errorf("deploy an instance: %w", err)
	}
	for {
		s, err := a.client.Service(ctx, service)
		if err != nil {
			return 0, fmt.Errorf("look at an instance: %w", err)
		}
		if len(s.Instances) > 0 && !slices.ContainsFunc(s.Instances, func(i client.Instance) bool { return i.Status != wire.StateRunning }) {
			return time.Since(began), nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for an instance: %w", context.Cause(ctx))
		case <-time.After(every):
		}
	}
}

// Delete undeploys and deletes the application. It returns at once.
func (a *App) Delete(ctx context.Context) error {
	if err := a.client.DeleteApplication(ctx, a.ID); err != nil {
		return fmt.Errorf("delete application %s: %w", a.shape.Name, err)
	}
	return nil
}

// Count is how many instances are in which state.
type Count map[wire.State]int

// Total is how many there are in all.
func (c Count) Total() (n int) {
	for _, k := range c {
		n += k
	}
	return n
}

// Count asks root for the states of all instances.
func (a *App) Count(ctx context.Context) (Count, error) {
	services, err := a.client.Services(ctx, a.ID)
	if err != nil {
		return nil, fmt.Errorf("count instances of application %s: %w", a.shape.Name, err)
	}
	out := Count{}
	for _, s := range services {
		for _, i := range s.Instances {
			out[i.Status]++
		}
	}
	return out, nil
}

// Running asks root which instances run.
func (a *App) Running(ctx context.Context) (all []wire.InstanceKey, err error) {
	services, err := a.client.Services(ctx, a.ID)
	if err != nil {
		return nil, fmt.Errorf("list instances of application %s: %w", a.shape.Name, err)
	}
	for _, s := range services {
		for _, i := range s.Instances {
			if i.Status == wire.StateRunning {
				all = append(all, wire.InstanceKey{ServiceID: string(s.ID), Number: i.Number})
			}
		}
	}
	return all, nil
}

// AwaitRunning asks root every so often until all instances run at the same time, and returns when that was first seen.
func (a *App) AwaitRunning(ctx context.Context, every time.Duration) (time.Time, error) {
	return a.await(ctx, every, false)
}

// AwaitAllSeen is the same for workers whose containers crash: each instance has to be seen running once.
func (a *App) AwaitAllSeen(ctx context.Context, every time.Duration) (time.Time, error) {
	return a.await(ctx, every, true)
}

func (a *App) await(ctx context.Context, every time.Duration, once bool) (time.Time, error) {
	want := a.shape.Instances * len(a.Services)
	seen := map[wire.InstanceKey]struct{}{}
	for {
		running, err := a.Running(ctx)
		if err != nil && ctx.Err() == nil {
			return time.Time{}, err
		}
		if !once && err == nil {
			clear(seen)
		}
		for _, key := range running {
			seen[key] = struct{}{}
		}
		if len(seen) >= want {
			return time.Now(), nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("wait for %d instances of application %s to run: %w; %d do", want, a.shape.Name, context.Cause(ctx), len(seen))
		case <-time.After(every):
		}
	}
}
