// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/sim/bed"
	"github.com/oakestra/oakestra-ebpf/tools/sim/fleet"
	"github.com/oakestra/oakestra-ebpf/tools/sim/hollow"
	"github.com/oakestra/oakestra-ebpf/tools/sim/workload"
)

// What the crowd does.
const (
	crowdServices  = 200
	crowdInstances = 10
	crowdWants     = 10 // services that each worker wants
	largeInstances = 200
	burstWithin    = 20 * time.Second
	burstTimeout   = 4 * time.Minute
	changeWithin   = 200 * time.Millisecond
	changes        = 40
	changeEvery    = 500 * time.Millisecond
)

// misfits are the parts of a crowd that behave badly, such that none of them is lost for it.
var misfits = map[hollow.Kind]float64{hollow.Slow: 0.05, hollow.Flapping: 0.01, hollow.Crashing: 0.01}

// crowd is a thousand hollow workers at one cluster.
func crowd(ctx context.Context, o *Options, r *Result) error {
	s, err := raise(ctx, o, bed.Options{}, fleet.Options{Workers: o.Workers, Shares: misfits, Every: 2 * time.Minute, Capacity: fleet.LargeCapacity})
	if err != nil {
		return err
	}
	defer s.close()
	r.add("all joined and connected within", s.joined.Seconds(), "s")
	if err := s.bursts(ctx, o, r); err != nil {
		return err
	}
	if err := s.stand(ctx, o, r); err != nil {
		return err
	}
	return s.largest(ctx, o, r)
}

// wants has each worker want some of the addresses: all of them equally often.
func (s *stage) wants(addresses []netip.Addr, each int) {
	for i, w := range s.fleet.Workers {
		var list []netip.Addr
		for k := range min(each, len(addresses)) {
			list = append(list, addresses[(i+k*len(addresses)/each)%len(addresses)])
		}
		w.Want(list...)
	}
}

// bursts deploys many services of few instances at once.
func (s *stage) bursts(ctx context.Context, o *Options, r *Result) error {
	app, err := workload.Create(ctx, s.Client, workload.Shape{Name: "crowd", Services: crowdServices, Instances: crowdInstances, Image: image, MemoryMB: 16, VCPUs: 1})
	if err != nil {
		return err
	}
	s.wants(app.Addresses, crowdWants)
	if err := rest(ctx, 3*time.Second); err != nil {
		return err
	}
	what := fmt.Sprintf("%d services of %d", crowdServices, crowdInstances)
	if err := s.burst(ctx, app, crowdServices*crowdInstances, what, r); err != nil {
		return err
	}
	return s.change(ctx, what, r)
}

// largest deploys one service of many instances, in which all are interested, and says what the cluster orchestrator took at most in all its life.
func (s *stage) largest(ctx context.Context, _ *Options, r *Result) error {
	app, err := workload.Create(ctx, s.Client, workload.Shape{Name: "large", Services: 1, Instances: largeInstances, Image: image, MemoryMB: 16, VCPUs: 1})
	if err != nil {
		return err
	}
	s.wants(app.Addresses, 1)
	if err := rest(ctx, 3*time.Second); err != nil {
		return err
	}
	what := fmt.Sprintf("one service of %d", largeInstances)
	if err := s.burst(ctx, app, largeInstances, what, r); err != nil {
		return err
	}
	if err := s.change(ctx, what, r, string(app.Services[0])); err != nil {
		return err
	}
	u, err := s.Cluster.Usage()
	if err != nil {
		return err
	}
	r.add("cluster, resident, most at any time", mib(u.Peak), "MiB")
	return nil
}

// burst has root keep all instances of an application, and measures until all run by root's word. A few more may run meanwhile, of workers
// that crash: only those that never did are waited for.
func (s *stage) burst(ctx context.Context, app *workload.App, n int, what string, r *Result) error {
	within, cancel := context.WithTimeout(ctx, burstTimeout)
	defer cancel()
	s.fleet.Times.Take()
	began, firsts := time.Now(), s.fleet.Times.Firsts()
	if err := app.Scale(within, 8); err != nil {
		return err
	}
	at, err := app.AwaitAllSeen(within, 200*time.Millisecond)
	if err != nil {
		return err
	}
	took := at.Sub(began)
	r.add(fmt.Sprintf("%s: %d RUNNING in the API within", what, n), took.Seconds(), "s").atMost(burstWithin.Seconds())
	r.add(what+": instances a second, API to RUNNING", float64(n)/took.Seconds(), "/s")
	last, err := s.settle(within, firsts)
	if err != nil {
		return err
	}
	r.add(what+": the last routes of the burst after", last.Sub(began).Seconds(), "s")
	r.times(what+": in the burst, RUNNING until a worker's route", s.fleet.Times.Take().First, 0)
	return nil
}

// Routes have settled when for so long fewer workers than one in ten have heard of a copy that they had not heard of before.
const (
	settledFor   = 3 * time.Second
	settledShare = 10
)

// settle waits until routes have settled, before which there were so many first news, and returns since when they have.
func (s *stage) settle(ctx context.Context, before int) (since time.Time, err error) {
	since = time.Now()
	for began := before; before == began || time.Since(since) < settledFor; {
		if err := rest(ctx, 100*time.Millisecond); err != nil {
			return since, err
		}
		if now := s.fleet.Times.Firsts(); now-before > len(s.fleet.Workers)/settledShare {
			before, since = now, time.Now()
		}
	}
	return since, nil
}

// change has instances crash and come back, one after another, and measures until those who want them have heard.
func (s *stage) change(ctx context.Context, what string, r *Result, services ...string) error {
	type victim struct {
		w *hollow.Worker
		c hollow.Copy
	}
	var all []victim
	for _, w := range s.fleet.Workers {
		if w.Kind() != hollow.Steady {
			continue
		}
		for _, c := range w.Running() {
			if len(services) == 0 || slices.Contains(services, c.ServiceID) {
				all = append(all, victim{w, c})
			}
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("%s: no steady worker runs an instance", what)
	}
	s.fleet.Times.Take()
	lacking, missed := 0, s.fleet.Traffic.Missed.Load()
	for n := range changes {
		v := all[n*len(all)/changes]
		if !v.w.Crash(v.c.InstanceKey) {
			continue
		}
		if err := rest(ctx, hollow.CrashPause+changeEvery); err != nil {
			return err
		}
		lacking += s.fleet.Times.Unheard(v.c)
	}
	if err := rest(ctx, 2*time.Second); err != nil {
		return err
	}
	times := s.fleet.Times.Take()
	r.times(what+": RUNNING until every interested worker's route", times.Routed, changeWithin)
	r.times(what+": end until every interested worker has no route", times.Unrouted, changeWithin)
	r.add(what+": workers that had not heard of a change within "+changeEvery.String(), float64(lacking), "").atMost(0)
	r.add(what+": changes that came to one who lacked those before", float64(s.fleet.Traffic.Missed.Load()-missed), "")
	return nil
}

// stand has the crowd go on, and looks at what that takes and whether anybody is lost.
func (s *stage) stand(ctx context.Context, o *Options, r *Result) error {
	in, out := s.fleet.Traffic.In.Load(), s.fleet.Traffic.Out.Load()
	lost, unavailable := 0, 0
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for rest(watching, 5*time.Second) == nil {
			if c, err := s.CountWorkers(watching); err == nil {
				lost, unavailable = max(lost, c[bed.Lost]), max(unavailable, c[bed.Unavailable])
			}
		}
	}()
	began := time.Now()
	all, err := during(ctx, o.Stable, s.Root, s.Cluster, s.Postgres)
	stop()
	<-done
	if err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return err
	}
	minutes := time.Since(began).Minutes() * float64(o.Workers)
	r.add("stood for", time.Since(began).Minutes(), "min")
	r.add("workers declared lost", float64(lost), "").atMost(0)
	r.add("workers unavailable at one time, flapping ones", float64(unavailable), "")
	r.add("cluster, resident, most", mib(all[1].peak), "MiB").atMost(s.clusterMost())
	r.add("cluster, of a core", 100*all[1].cores, "%")
	r.add("root, resident, most", mib(all[0].peak), "MiB")
	r.add("root, of a core", 100*all[0].cores, "%")
	r.add("Postgres, of a core", 100*all[2].cores, "%")
	r.add("to one worker a minute", float64(s.fleet.Traffic.In.Load()-in)/minutes, "bytes")
	r.add("from one worker a minute", float64(s.fleet.Traffic.Out.Load()-out)/minutes, "bytes")
	return nil
}

// clusterMost is what the cluster orchestrator may take, in MiB: it has 2,000 connections of its own, or none.
func (s *stage) clusterMost() float64 {
	if s.Broker != nil {
		return 120
	}
	return 250
}

// crowdWithMosquitto is the same with an external broker, for long enough to see what it takes.
func crowdWithMosquitto(ctx context.Context, o *Options, r *Result) error {
	s, err := raise(ctx, o, bed.Options{Mosquitto: true}, fleet.Options{Workers: o.Workers, Capacity: fleet.LargeCapacity})
	if err != nil {
		return err
	}
	defer s.close()
	r.add("all joined and connected within", s.joined.Seconds(), "s")
	if err := s.bursts(ctx, o, r); err != nil {
		return err
	}
	if err := s.stand(ctx, o, r); err != nil {
		return err
	}
	u, err := s.Broker.Usage()
	if err != nil {
		return err
	}
	r.add("mosquitto, resident", mib(u.RSS), "MiB")
	return s.largest(ctx, o, r)
}
