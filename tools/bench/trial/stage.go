// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/bench/kubeproxy"
	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/overlay"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/topology"
)

// setup is a setup as it stands.
type setup struct {
	plan.Setup
	*topology.Pair
	overlay *overlay.Overlay // of this project's only
	plain   bool             // its uplinks are without offloads
}

// ruleTimeout bounds the loading of rules; nft takes minutes for very many.
const ruleTimeout = 20 * time.Minute

// build makes a setup. Progress is told how long rules took to load, where there are any.
func (s *Stage) build(ctx context.Context, p plan.Setup) (*setup, error) {
	out := &setup{Setup: p}
	var err error
	switch p.Way {
	case plan.Hosts:
		out.Pair, err = topology.NewHosts(s.lab, p.Name())
	case plan.Routed:
		out.Pair, err = topology.NewRouted(s.lab, p.Name(), p.Replicas())
	case plan.NFT, plan.IPTables:
		if out.Pair, err = topology.NewFlannel(s.lab, p.Name(), p.Replicas()); err == nil {
			err = s.loadRules(ctx, out)
		}
	case plan.Oak:
		out.overlay, err = overlay.New(ctx, s.lab, p.Name(), overlay.Options{
			Program: s.options.NetManager, CPUs: s.others, Instances: p.Replicas(), Services: p.Services, PerService: p.Endpoints,
		})
		if err == nil {
			out.Pair = out.overlay.Pair()
		}
	default:
		err = fmt.Errorf("unknown way %q", p.Way)
	}
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", p.Name(), err)
	}
	return out, nil
}

// Addresses of the services of ways that have kube-proxy's rules.
var (
	serviceRange = netip.MustParseAddr("10.96.0.0")
	fillerPods   = netip.MustParseAddr("10.245.0.0")
	podRange     = netip.MustParsePrefix("10.244.0.0/15")
)

// servedBy is the service address of the servers at a place.
func servedBy(place topology.Place) netip.Addr {
	if place == topology.Same {
		return netip.MustParseAddr("10.111.0.1")
	}
	return netip.MustParseAddr("10.111.0.2")
}

// kubeServices are those that traffic goes through, one for each kind of traffic and place, among others.
func kubeServices(p plan.Setup) []kubeproxy.Service {
	var measured []kubeproxy.Service
	for worker, place := range []topology.Place{topology.Same, topology.Other} {
		for _, k := range load.Kinds() {
			s := kubeproxy.Service{Name: fmt.Sprintf("bench/%s:%s", place, k), Protocol: "tcp", Address: netip.AddrPortFrom(servedBy(place), k.Port())}
			if k == load.UDP {
				s.Protocol = "udp"
			}
			for n := range p.Replicas() {
				s.Endpoints = append(s.Endpoints, netip.AddrPortFrom(topology.ContainerAddress(worker, n+1, false), k.Port()))
			}
			measured = append(measured, s)
		}
	}
	filler := kubeproxy.Filler(max(p.Services-2, 0), p.Endpoints, serviceRange.Next(), fillerPods.Next())
	return kubeproxy.Among(filler, measured)
}

func kubeNetwork(worker int) kubeproxy.Network {
	return kubeproxy.Network{Pods: podRange, Own: netip.PrefixFrom(topology.ContainerAddress(worker, -2, false), 24)}
}

// loadRules loads a worker's rules in one transaction.
func (s *Stage) loadRules(ctx context.Context, p *setup) error {
	ctx, cancel := context.WithTimeout(ctx, ruleTimeout)
	defer cancel()
	services := kubeServices(p.Setup)
	for worker, ns := range []*lab.Namespace{p.A, p.B} {
		if worker == 1 {
			services = nil // no client is there; what is masqueraded matters
		}
		start := time.Now()
		if err := loadInto(ctx, ns, p.Way, kubeNetwork(worker), services); err != nil {
			return err
		}
		if worker == 0 {
			s.options.Progress("%s: %d services with %d endpoints each loaded in %.2f s", p.Setup.Name(), p.Services, p.Endpoints, time.Since(start).Seconds())
		}
	}
	return nil
}

func loadInto(ctx context.Context, ns *lab.Namespace, way plan.Way, n kubeproxy.Network, services []kubeproxy.Service) error {
	if way == plan.IPTables {
		_, err := ns.Run(ctx, kubeproxy.IPTables(n, services), "iptables-restore")
		return err
	}
	return nft(ctx, ns, kubeproxy.NFT(n, services))
}

// nft loads from a file, which it reads faster than its input.
func nft(ctx context.Context, ns *lab.Namespace, rules string) error {
	file := filepath.Join(lab.Dir, "rules.nft")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	defer func() { _ = os.Remove(file) }()
	_, err := ns.Run(ctx, "", "nft", "-f", file)
	return err
}

// targets are the addresses that a slice's client connects to in turn.
func (p *setup) targets(v plan.Variant, k load.Kind) (out []netip.AddrPort) {
	at := func(a netip.Addr) { out = append(out, netip.AddrPortFrom(a, k.Port())) }
	switch p.Way {
	case plan.Hosts:
		at(topology.Outer(1, v.IPv6))
	case plan.Routed:
		worker := 1
		if v.Place == topology.Same {
			worker = 0
		}
		for n := range p.Replicas() {
			at(topology.ContainerAddress(worker, n+1, v.IPv6))
		}
	case plan.NFT, plan.IPTables:
		at(servedBy(v.Place))
	case plan.Oak:
		policy := v.Policy
		if policy == "" {
			policy = wire.PolicyRoundRobin
		}
		at(p.overlay.Target(v.Place, policy, v.IPv6))
	}
	return out
}

// offload has the uplinks as the variant wants them.
func (p *setup) offload(plain bool) error {
	if p.plain == plain {
		return nil
	}
	if _, err := p.SetOffloads(!plain); err != nil {
		return err
	}
	p.plain = plain
	return nil
}

func (s *Stage) close(p *setup) {
	if p.overlay != nil {
		p.overlay.Stop()
	}
}
