// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/bench/kubeproxy"
	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/topology"
)

// ruleTimeout bounds the loading of rules; nft takes minutes for very many.
const ruleTimeout = 20 * time.Minute

// Addresses of the services of ways that have kube-proxy's rules.
var (
	serviceRange = netip.MustParseAddr("10.96.0.0")
	fillerPods   = netip.MustParseAddr("10.245.0.0")
	podRange     = netip.MustParsePrefix("10.244.0.0/14")
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
	return kubeproxy.Among(fillers(p), measured)
}

// fillers are services that no traffic goes through.
func fillers(p plan.Setup) []kubeproxy.Service {
	return kubeproxy.Filler(max(p.Services-2, 0), p.Endpoints, serviceRange.Next(), fillerPods.Next())
}

func kubeNetwork(worker int) kubeproxy.Network {
	return kubeproxy.Network{Pods: podRange, Own: netip.PrefixFrom(topology.ContainerAddress(worker, -2, false), 24)}
}

// loadRules loads both workers' rules, each in one transaction. The other worker has no client; of its rules those for masquerading matter.
func loadRules(ctx context.Context, p *setup) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, ruleTimeout)
	defer cancel()
	if err := apply(ctx, p.B, p.Way, wholeRules(p.Way, kubeNetwork(1), nil), false); err != nil {
		return 0, err
	}
	rules := wholeRules(p.Way, kubeNetwork(0), kubeServices(p.Setup))
	start := time.Now()
	err = apply(ctx, p.A, p.Way, rules, false)
	return time.Since(start), err
}

func wholeRules(way plan.Way, n kubeproxy.Network, services []kubeproxy.Service) string {
	if way == plan.IPTables {
		return kubeproxy.IPTables(n, services)
	}
	return kubeproxy.NFT(n, services)
}

// iptablesRestore is the tool of the older kind of tables: on this path the faster one by far, to load and to pass.
const iptablesRestore = "iptables-legacy-restore"

// apply gives rules to the tool of the way; a change leaves what it does not name.
func apply(ctx context.Context, ns *lab.Namespace, way plan.Way, rules string, change bool) error {
	if way == plan.IPTables {
		args := []string{}
		if change {
			args = append(args, "--noflush")
		}
		_, err := ns.Run(ctx, rules, iptablesRestore, args...)
		return err
	}
	file := filepath.Join(lab.Dir, "rules.nft") // read faster than standard input
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	defer func() { _ = os.Remove(file) }()
	_, err := ns.Run(ctx, "", "nft", "-f", file)
	return err
}

// changeRules adds one endpoint to a service that no traffic goes through, up to n times in at most patience, and returns how long each took.
func changeRules(ctx context.Context, p *setup, n int, patience time.Duration) (out []time.Duration, err error) {
	all := fillers(p.Setup)
	if len(all) == 0 {
		return nil, nil
	}
	s := all[len(all)/2]
	extra := netip.MustParseAddr("10.247.0.1")
	end := time.Now().Add(patience)
	for i := 0; i < n && (i == 0 || time.Now().Before(end)); i++ {
		s.Endpoints = append(s.Endpoints[:p.Endpoints:p.Endpoints], netip.AddrPortFrom(extra, 8080))
		extra = extra.Next()
		rules := kubeproxy.NFTChange(kubeNetwork(0), s)
		if p.Way == plan.IPTables {
			rules = kubeproxy.IPTablesChange(kubeNetwork(0), s)
		}
		start := time.Now()
		if err := apply(ctx, p.A, p.Way, rules, true); err != nil {
			return out, err
		}
		out = append(out, time.Since(start))
	}
	return out, nil
}
