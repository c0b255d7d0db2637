// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/sim/workload"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

const (
	sample      = "hello-server"
	namespaceID = "oakestra"
	crowdOfReal = 20 // instances at once on one worker
	realTimeout = 2 * time.Minute
	// overP50 and overSlowest are how much longer than containerd itself one deploy may take.
	overP50, overSlowest = 110 * time.Millisecond, 250 * time.Millisecond
	overTwenty           = 1.5
)

// realDeploy deploys real containers on a testbed of one worker, in turn with containers that containerd starts by itself.
func realDeploy(ctx context.Context, o *Options, r *Result) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("a testbed needs root: run it as root")
	}
	bin, err := filepath.Abs(o.Bin)
	if err != nil {
		return fmt.Errorf("find the programs: %w", err)
	}
	self, err := proc.Find(os.Getpid())
	if err != nil {
		return err
	}
	options := testbed.Options{Dir: testbed.DefaultDir, Bin: bin, Self: filepath.Join(bin, "oak-testbed"), Clusters: 1, Workers: 1, Fsync: true, Owner: &self}
	tb, err := testbed.Up(ctx, options)
	if errors.Is(err, testbed.ErrUp) {
		return err // somebody else's
	}
	defer func() { err = errors.Join(err, testbed.Down(context.WithoutCancel(ctx), options.Dir)) }()
	if err != nil {
		return err
	}
	ref, err := tb.Image(ctx, sample, filepath.Join(bin, "images", sample), []string{"/" + sample})
	if err != nil {
		return err
	}
	c, err := client.New(client.Options{URL: tb.API().URL, UserAgent: "oak-sim"})
	if err == nil {
		err = c.Login(ctx, tb.API().Username, tb.API().Password, "")
	}
	if err != nil {
		return fmt.Errorf("log in at root: %w", err)
	}
	defer c.Close()
	worker := tb.Hosts(testbed.RoleWorker)[0].Name
	app, err := workload.Create(ctx, c, workload.Shape{Name: "real", Services: deploys + 3, Instances: 1, Image: ref, MemoryMB: 64})
	if err != nil {
		return err
	}
	var times, floors []time.Duration
	var f *floor
	for i, service := range app.Services {
		within, cancel := context.WithTimeout(ctx, realTimeout)
		took, err := app.One(within, service, lookEvery)
		if err == nil {
			err = gone(within, c, service)
		}
		cancel()
		if err != nil {
			return err
		}
		if f == nil { // the first deploy has pulled the image
			if f, ctx, err = openFloor(ctx, testbed.ContainerdSocket(worker), namespaceID, ref); err != nil {
				return err
			}
			defer f.close()
		}
		alone, err := f.many(ctx, 1)
		if err != nil {
			return err
		}
		if i >= 3 {
			times, floors = append(times, took), append(floors, alone)
		}
	}
	r.times("containerd itself, with a network", floors, 0)
	r.add("one deploy, API to RUNNING in the API, p50", ms(quantile(times, 0.5)), "ms")
	r.add("one deploy, slowest of "+fmt.Sprint(len(times)), ms(quantile(times, 1)), "ms")
	r.add("one deploy, p50 over containerd's", ms(quantile(times, 0.5)-quantile(floors, 0.5)), "ms").atMost(ms(overP50))
	r.add("one deploy, slowest over containerd's slowest", ms(quantile(times, 1)-quantile(floors, 1)), "ms").atMost(ms(overSlowest))
	return twenty(ctx, c, f, ref, r)
}

// twenty has many instances come at once on the one worker, in turn with containerd by itself.
func twenty(ctx context.Context, c *client.Client, f *floor, ref string, r *Result) error {
	const rounds = 5
	var times, floors []time.Duration
	for n := range rounds {
		alone, err := f.many(ctx, crowdOfReal)
		if err != nil {
			return err
		}
		app, err := workload.Create(ctx, c, workload.Shape{Name: fmt.Sprintf("twenty%d", n), Services: 1, Instances: crowdOfReal, Image: ref, MemoryMB: 64})
		if err != nil {
			return err
		}
		within, cancel := context.WithTimeout(ctx, realTimeout)
		began := time.Now()
		if err = app.Scale(within, 1); err == nil {
			var at time.Time
			if at, err = app.AwaitRunning(within, lookEvery); err == nil {
				times, floors = append(times, at.Sub(began)), append(floors, alone)
			}
		}
		if err == nil {
			err = app.Delete(within)
		}
		if err == nil {
			err = none(within, c, app)
		}
		cancel()
		if err != nil {
			return err
		}
	}
	r.add(fmt.Sprintf("containerd itself, %d at once, p50", crowdOfReal), ms(quantile(floors, 0.5)), "ms")
	r.add(fmt.Sprintf("%d instances on one worker, the last runs in the API, p50", crowdOfReal), ms(quantile(times, 0.5)), "ms")
	r.add(fmt.Sprintf("%d instances over containerd's own time", crowdOfReal), float64(quantile(times, 0.5))/float64(quantile(floors, 0.5)), "").atMost(overTwenty)
	return nil
}

// gone undeploys a service's instances and waits until there are none.
func gone(ctx context.Context, c *client.Client, service client.ID) error {
	if err := c.RemoveInstance(ctx, service, client.AllInstances); err != nil {
		return fmt.Errorf("undeploy an instance: %w", err)
	}
	for {
		s, err := c.Service(ctx, service)
		if err != nil {
			return fmt.Errorf("look at an instance: %w", err)
		}
		if len(s.Instances) == 0 {
			return nil
		}
		if err := rest(ctx, 10*lookEvery); err != nil {
			return fmt.Errorf("wait until an instance is gone, which is %s: %w", s.Instances[0].Status, err)
		}
	}
}

// none waits until an application that was deleted is gone.
func none(ctx context.Context, c *client.Client, app *workload.App) error {
	for {
		services, err := c.Services(ctx, app.ID)
		if err != nil || len(services) == 0 { // it is gone, or all of it
			return nil //nolint:nilerr // there is no such application any more
		}
		left := 0
		for _, s := range services {
			for _, i := range s.Instances {
				if i.Status != wire.StateUndeployed {
					left++
				}
			}
		}
		if left == 0 {
			return nil
		}
		if err := rest(ctx, 10*lookEvery); err != nil {
			return fmt.Errorf("wait until %d instances are gone: %w", left, err)
		}
	}
}
