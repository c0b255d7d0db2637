// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
	"github.com/oakestra/oakestra-ebpf/tools/bench/topology"
)

// Options say how large an overlay is.
type Options struct {
	// Program is NetManager's.
	Program string
	// Instances is how many servers each of the two services has that traffic goes through.
	Instances int
	// Services is how many services the client's worker knows in all, each of the others with PerService instances on the other worker.
	Services, PerService int
}

// Overlay is two workers of this project.
type Overlay struct {
	pair    *topology.Pair
	options Options
	a, b    *worker
	routes  map[service]wire.NetRoutes // of the services that traffic goes through
	// Loaded is how long it took until all services were in the kernel.
	Loaded time.Duration
}

// New makes two workers with a client, servers and routes.
func New(ctx context.Context, l *lab.Lab, name string, o Options) (*Overlay, error) {
	if o.Instances < 1 || o.Instances > maxInstances || o.PerService > maxInstances || o.Services < 2 {
		return nil, fmt.Errorf("make overlay %s: %d services of %d and %d instances are not to be had", name, o.Services, o.Instances, o.PerService)
	}
	p, err := topology.NewPair(l, name)
	if err != nil {
		return nil, err
	}
	out := &Overlay{pair: p, options: o, routes: map[service]wire.NetRoutes{}}
	if err := out.populate(ctx); err != nil {
		out.Close()
		return nil, fmt.Errorf("make overlay %s: %w", name, err)
	}
	return out, nil
}

// Pair is what it is made of.
func (o *Overlay) Pair() *topology.Pair { return o.pair }

// Close ends the brokers; NetManagers end with the lab.
func (o *Overlay) Close() {
	for _, w := range []*worker{o.a, o.b} {
		if w != nil {
			w.close()
		}
	}
}

// Stop ends NetManagers and brokers.
func (o *Overlay) Stop() {
	for _, w := range []*worker{o.a, o.b} {
		if w != nil {
			w.process.Kill()
		}
	}
	o.Close()
}

// name is a worker's: of its folder of pins too.
func (o *Overlay) name(w string) string { return "oakbench-" + o.pair.Name + "-" + w }

func (o *Overlay) populate(ctx context.Context) (err error) {
	if o.a, err = o.startWorker(ctx, o.pair.A, o.name("a"), workerA, subnets(0)); err != nil {
		return err
	}
	if o.b, err = o.startWorker(ctx, o.pair.B, o.name("b"), workerB, subnets(1)); err != nil {
		return err
	}
	if o.pair.Client, err = o.pair.Container("client"); err != nil {
		return err
	}
	client, err := o.a.attach(ctx, clients.instance(0), o.pair.Client)
	if err != nil {
		return err
	}
	if err := topology.Tune(o.pair.Client); err != nil {
		return err
	}
	serverSources := []wire.LocalEndpoint{}
	for _, at := range []struct {
		place   topology.Place
		service service
		w       *worker
	}{{topology.Same, sameWorker, o.a}, {topology.Other, otherWorker, o.b}} {
		r := wire.NetRoutes{ServiceID: at.service.id(), JobName: jobName, Addresses: at.service.addresses()}
		for i := range o.options.Instances {
			c, err := o.pair.Container(fmt.Sprintf("%s%d", at.place, i))
			if err != nil {
				return err
			}
			e, err := at.w.attach(ctx, at.service.instance(i), c)
			if err != nil {
				return err
			}
			o.pair.Servers[at.place] = append(o.pair.Servers[at.place], c)
			r.Instances = append(r.Instances, route(e, at.w.worker))
			if at.w == o.b {
				serverSources = append(serverSources, e)
			}
		}
		o.routes[at.service] = r
	}
	if err := o.a.heardOf(ctx, 1+o.options.Instances); err != nil {
		return err
	}
	if err := o.b.heardOf(ctx, o.options.Instances); err != nil {
		return err
	}
	if err := o.a.meet(o.b, serverSources); err != nil {
		return err
	}
	if err := o.b.meet(o.a, []wire.LocalEndpoint{client}); err != nil {
		return err
	}
	for _, w := range []*worker{o.a, o.b} {
		if err := o.metByIPv4(ctx, w); err != nil {
			return err
		}
	}
	o.a.onInterest(o.answer)
	o.Loaded, err = o.Announce(ctx)
	return err
}

func route(e wire.LocalEndpoint, worker string) wire.RouteInstance {
	return wire.RouteInstance{Number: e.Number, Generation: e.Generation, InstanceIP: e.InstanceIP, InstanceIPv6: e.InstanceIPv6, Peer: worker,
		NamespaceIP: e.NamespaceIP, NamespaceIPv6: e.NamespaceIPv6, Tag: e.Tag, State: wire.StateRunning}
}

// meet tells w of the other worker and of what sends from there.
func (w *worker) meet(other *worker, there []wire.LocalEndpoint) error {
	p := wire.NetPeer{WorkerID: other.worker, PublicKey: other.told.PublicKey, Outer: other.told.Outer, Subnets: other.subnets}
	for _, e := range there {
		p.Sources = append(p.Sources, wire.NetSource{InstanceKey: e.InstanceKey, Generation: e.Generation, InstanceIP: e.InstanceIP, InstanceIPv6: e.InstanceIPv6})
	}
	return w.publish(wire.TopicNetPeers, wire.NetPeers{Header: w.stamp(), Peers: []wire.NetPeer{p}}, false)
}

// Announce publishes all services with new stamps, and waits until each is in the kernel. It returns how long that took.
func (o *Overlay) Announce(ctx context.Context) (time.Duration, error) {
	type message struct {
		topic   string
		payload []byte
	}
	var all []message
	var last []netip.Addr
	for s := sameWorker; int(s) <= o.options.Services; s++ {
		payload, err := o.announcement(s, o.options.PerService)
		if err != nil {
			return 0, err
		}
		all, last = append(all, message{wire.TopicNetRoutes + s.id(), payload}), append(last, s.address(wire.PolicyRoundRobin, false))
	}
	m, err := o.vips()
	if err != nil {
		return 0, err
	}
	defer func() { _ = m.Close() }()
	start := time.Now()
	for _, a := range all {
		if err := o.a.send(a.topic, a.payload, false); err != nil {
			return 0, err
		}
	}
	err = o.a.eventually(ctx, fmt.Sprintf("all of %d services are in the kernel", len(last)), func() (bool, error) {
		for len(last) > 0 && has(m, last[len(last)-1]) {
			last = last[:len(last)-1]
		}
		return len(last) == 0, nil
	})
	if err != nil {
		return 0, fmt.Errorf("%w%s", err, o.a.complaint())
	}
	return time.Since(start), nil
}

// Ensure announces the services again if NetManager has dropped them, as it does with what nobody looks up for long.
func (o *Overlay) Ensure(ctx context.Context) error {
	m, err := o.vips()
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	for _, s := range []service{sameWorker, otherWorker, service(o.options.Services)} {
		if !has(m, s.address(wire.PolicyRoundRobin, false)) {
			_, err := o.Announce(ctx)
			return err
		}
	}
	return nil
}

// answer publishes the services that traffic goes through whenever the worker asks for one of them.
func (o *Overlay) answer(m wire.NetInterest) {
	for _, s := range []service{sameWorker, otherWorker} {
		for _, a := range s.addresses() {
			if slices.ContainsFunc(m.Addresses, func(i wire.InterestAddress) bool { return i.Address == a.Address && i.Held.IsZero() }) {
				if payload, err := o.announcement(s, 0); err == nil {
					_ = o.a.send(wire.TopicNetRoutes+s.id(), payload, false) // asked for again if it is lost
				}
				break
			}
		}
	}
}

// Pin has both NetManagers run on some processors only.
func (o *Overlay) Pin(cpus []int) error {
	return errors.Join(o.a.process.Pin(cpus), o.b.process.Pin(cpus))
}

// announcement is the message of a service. Only the two with servers have instances that packets can be sent to; the others, of the given
// number of instances, are there to be looked up among.
func (o *Overlay) announcement(s service, instances int) ([]byte, error) {
	r, real := o.routes[s]
	if !real {
		r = o.filler(s, instances)
	}
	r.Header = o.a.stamp()
	payload, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the routes of a service: %w", err)
	}
	return payload, nil
}

func (o *Overlay) filler(s service, instances int) wire.NetRoutes {
	r := wire.NetRoutes{ServiceID: s.id(), JobName: jobName, Addresses: s.addresses()}
	for n := range instances {
		i := s.instance(n)
		r.Instances = append(r.Instances, wire.RouteInstance{Number: n, Generation: first, InstanceIP: i.v4, InstanceIPv6: i.v6, Peer: workerB,
			NamespaceIP: i.elsewhere(false), NamespaceIPv6: i.elsewhere(true), Tag: uint32(n + 1), State: wire.StateRunning})
	}
	return r
}

// Target is the address to reach the servers of a place by.
func (o *Overlay) Target(place topology.Place, policy wire.Policy, ipv6 bool) netip.Addr {
	s := otherWorker
	if place == topology.Same {
		s = sameWorker
	}
	if policy == wire.PolicyInstance {
		if ipv6 {
			return s.instance(0).v6
		}
		return s.instance(0).v4
	}
	return s.address(policy, ipv6)
}
