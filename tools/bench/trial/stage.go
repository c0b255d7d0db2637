// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/overlay"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/topology"
)

// Options of a stage.
type Options struct {
	// Self is this program, which is server, client and spinner too; NetManager is this project's.
	Self, NetManager string
	// CPU is the processor that is measured.
	CPU int
	// Time is how long a slice is measured, Attempts how often at most if strangers disturb it.
	Time     time.Duration
	Attempts int
	Progress func(format string, args ...any)
}

// Stage is where a part of a run is measured.
type Stage struct {
	options Options
	lab     *lab.Lab
	all     []int // processors
	others  []int // those that are not measured
	softirq int
	spinner *lab.Process
	setups  map[plan.Setup]*setup
}

// setup is a setup as it stands.
type setup struct {
	plan.Setup
	*topology.Pair
	overlay *overlay.Overlay // of this project's only
	plain   bool             // its uplinks are without offloads
	loaded  time.Duration    // how long its services took to load
}

// Open opens a stage. It has no setups yet.
func Open(o Options) (*Stage, error) {
	softirq, err := findThread(fmt.Sprintf("ksoftirqd/%d", o.CPU))
	if err != nil {
		return nil, err
	}
	l, err := lab.Open()
	if err != nil {
		return nil, err
	}
	s := &Stage{options: o, lab: l, softirq: softirq, setups: map[plan.Setup]*setup{}}
	for cpu := range runtime.NumCPU() {
		s.all = append(s.all, cpu)
		if cpu != o.CPU {
			s.others = append(s.others, cpu)
		}
	}
	if s.spinner, err = l.Start(lab.Command{CPUs: []int{o.CPU}, Idle: true, Path: o.Self, Args: []string{"spin"}, Env: load.Environment()}); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.Keep(s.spinner)
	return s, nil
}

// Close takes everything down.
func (s *Stage) Close() error {
	for _, p := range s.setups {
		if p.overlay != nil {
			p.overlay.Stop()
		}
	}
	return s.lab.Close()
}

// Build makes a setup, and keeps its NetManagers off the processor that is measured.
func (s *Stage) Build(ctx context.Context, p plan.Setup) error {
	built, err := s.build(ctx, p)
	if err != nil {
		return fmt.Errorf("build %s: %w", p.Name(), err)
	}
	s.setups[p] = built
	if p.Services > 0 {
		s.options.Progress("%s: %d services with %d instances each loaded in %.3f s", p.Name(), p.Services, p.Endpoints, built.loaded.Seconds())
	}
	if built.overlay != nil && len(s.others) > 0 {
		return built.overlay.Pin(s.others)
	}
	return nil
}

func (s *Stage) build(ctx context.Context, p plan.Setup) (out *setup, err error) {
	out = &setup{Setup: p}
	switch p.Way {
	case plan.Hosts:
		out.Pair, err = topology.NewHosts(s.lab, p.Name())
	case plan.Routed:
		out.Pair, err = topology.NewRouted(s.lab, p.Name(), p.Replicas())
	case plan.Bare:
		out.Pair, err = topology.NewBare(s.lab, p.Name(), p.Replicas())
	case plan.NFT, plan.IPTables:
		if out.Pair, err = topology.NewFlannel(s.lab, p.Name(), p.Replicas()); err == nil {
			out.loaded, err = loadRules(ctx, out)
		}
	case plan.Oak:
		out.overlay, err = overlay.New(ctx, s.lab, p.Name(), overlay.Options{
			Program: s.options.NetManager, Instances: p.Replicas(), Services: p.Services, PerService: p.Endpoints,
		})
		if err == nil {
			out.Pair, out.loaded = out.overlay.Pair(), out.overlay.Loaded
		}
	default:
		err = fmt.Errorf("unknown way %q", p.Way)
	}
	return out, err
}

// Ensure has every setup as it was built, whatever has lapsed since.
func (s *Stage) Ensure(ctx context.Context) error {
	for _, p := range s.setups {
		if p.overlay == nil {
			continue
		}
		if err := p.overlay.Ensure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// targets are the addresses that a slice's client connects to in turn.
func (p *setup) targets(v plan.Variant, k load.Kind) (out []netip.AddrPort) {
	at := func(a netip.Addr) { out = append(out, netip.AddrPortFrom(a, k.Port())) }
	switch p.Way {
	case plan.Hosts:
		at(topology.Outer(1, v.IPv6))
	case plan.Routed, plan.Bare:
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

// findThread returns the number of a kernel thread.
func findThread(name string) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("look for thread %s: %w", name, err)
	}
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		if comm, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm")); err == nil && strings.TrimSpace(string(comm)) == name {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("look for thread %s: there is none: is this a container with its own process numbers?", name)
}
