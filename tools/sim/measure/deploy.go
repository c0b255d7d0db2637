// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/sim/bed"
	"github.com/oakestra/oakestra-ebpf/tools/sim/fleet"
	"github.com/oakestra/oakestra-ebpf/tools/sim/workload"
)

const (
	deploys     = 50
	deployEvery = 50 * time.Millisecond // between two
	lookEvery   = 3 * time.Millisecond
	busyEvery   = 50 * time.Millisecond // between two of the others' deploys
	hollowTakes = 2 * time.Millisecond  // to create a container: what is left is the control plane's
)

// deploy measures how long one deploy takes, on a system that does nothing else and on one that is deployed to all the time.
func deploy(ctx context.Context, o *Options, r *Result) error {
	s, err := raise(ctx, o, bed.Options{}, fleet.Options{Workers: 100, Create: hollowTakes})
	if err != nil {
		return err
	}
	defer s.close()
	r.Notes = append(r.Notes, "100 hollow workers, whose containers take 2 ms to start")
	times, err := s.deployOneByOne(ctx, "idle")
	if err != nil {
		return err
	}
	r.times("one deploy, idle system", times, 0)
	busy, stop := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() { s.bustle(busy) })
	times, err = s.deployOneByOne(ctx, "busy")
	stop()
	others.Wait()
	if err != nil {
		return err
	}
	r.times("one deploy, twenty others a second", times, 0)
	return nil
}

// deployOneByOne deploys the only instance of one service after another.
func (s *stage) deployOneByOne(ctx context.Context, name string) ([]time.Duration, error) {
	app, err := workload.Create(ctx, s.Client, workload.Shape{Name: name, Services: deploys + 3, Instances: 1, Image: image, MemoryMB: 16, VCPUs: 1})
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	for i, service := range app.Services {
		within, cancel := context.WithTimeout(ctx, time.Minute)
		took, err := app.One(within, service, lookEvery)
		cancel()
		if err != nil {
			return nil, err
		}
		if i >= 3 { // the first ones warm up
			times = append(times, took)
		}
		if err := rest(ctx, deployEvery); err != nil {
			return nil, err
		}
	}
	return times, app.Delete(ctx)
}

// bustle deploys and undeploys other instances until ctx ends. What fails is tried again: it is only there to be in the way.
func (s *stage) bustle(ctx context.Context) {
	app, err := workload.Create(ctx, s.Client, workload.Shape{Name: "bustle", Services: 8, Instances: 1, Image: image, MemoryMB: 16, VCPUs: 1})
	if err != nil {
		s.said("bustle: %v", err)
		return
	}
	for n := 0; rest(ctx, busyEvery) == nil; n++ {
		service := app.Services[n%len(app.Services)]
		if n/len(app.Services)%4 == 3 {
			_ = s.Client.RemoveInstance(ctx, service, client.AllInstances)
			continue
		}
		_ = s.Client.AddInstance(ctx, service)
	}
	_ = app.Delete(context.WithoutCancel(ctx))
}
