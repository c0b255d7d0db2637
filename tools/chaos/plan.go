// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind is a kind of fault.
type Kind string

// The kinds of faults. What is killed is started again later, what is stopped goes on, what is cut is healed.
const (
	KillEngine     Kind = "kill NodeEngine"
	StopEngine     Kind = "stop NodeEngine"
	KillNet        Kind = "kill NetManager"
	StopNet        Kind = "stop NetManager"
	KillCluster    Kind = "kill cluster"
	StopCluster    Kind = "stop cluster"
	KillRoot       Kind = "kill root"
	StopRoot       Kind = "stop root"
	EndPostgres    Kind = "postgres immediate" // as pg_ctl stop -m immediate does
	KillBroker     Kind = "kill broker"
	StopBroker     Kind = "stop broker"
	KillContainerd Kind = "kill containerd"
	CutHost        Kind = "cut host"
	CutPair        Kind = "cut pair"
	OneWay         Kind = "oneway"
	DelayPair      Kind = "delay"
	Reboot         Kind = "reboot"
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{KillEngine, StopEngine, KillNet, StopNet, KillCluster, StopCluster, KillRoot, StopRoot, EndPostgres, KillBroker,
		StopBroker, KillContainerd, CutHost, CutPair, OneWay, DelayPair, Reboot}
}

// harmless are the kinds that no call between workloads may notice: what runs goes on without its managers.
var harmless = []Kind{KillEngine, StopEngine, KillNet, KillCluster, StopCluster, KillRoot, StopRoot, EndPostgres, KillBroker, StopBroker, KillContainerd}

// Fault is one fault of a plan.
type Fault struct {
	Kind Kind
	// Target is COMPONENT@HOST or a host, Other the second host of a pair.
	Target, Other string
	// Hold is how long it lasts; zero is a restart at once.
	Hold time.Duration
	// Milliseconds are those of a delay.
	Milliseconds int
}

func (f Fault) String() string {
	s := []string{string(f.Kind), f.Target}
	if f.Other != "" {
		s = append(s, f.Other)
	}
	if f.Milliseconds > 0 {
		s = append(s, fmt.Sprintf("%d ms", f.Milliseconds))
	}
	return fmt.Sprintf("%s for %s", strings.Join(s, " "), f.Hold)
}

// Step is one fault, or two that overlap.
type Step struct {
	// N counts steps from 1.
	N int
	// Faults are one or two; the second begins Lag after the first.
	Faults []Fault
	Lag    time.Duration
}

func (s Step) String() string {
	if len(s.Faults) == 1 {
		return fmt.Sprintf("%d: %s", s.N, s.Faults[0])
	}
	return fmt.Sprintf("%d: %s; after %s %s", s.N, s.Faults[0], s.Lag, s.Faults[1])
}

// harmless reports whether no call between workloads may notice the step.
func (s Step) harmless() bool {
	return !slices.ContainsFunc(s.Faults, func(f Fault) bool { return !slices.Contains(harmless, f.Kind) })
}

// Hosts are those that faults befall.
type Hosts struct {
	Roots, Clusters, Workers []string
	// Standbys have a second orchestrator of some cluster, and no broker.
	Standbys []string
}

// Plan returns the faults that a seed stands for: n steps, a tenth of them with two faults that overlap; each kind comes as often as any
// other, give or take one. longest bounds how long a fault lasts; it has to be less than what has a worker declared lost.
func Plan(seed uint64, n int, h Hosts, longest time.Duration) []Step {
	r := rand.New(rand.NewPCG(seed, 0x0a6b)) //nolint:gosec // to be repeated, not to be secret
	var deck []Kind
	next := func() Fault {
		if len(deck) == 0 {
			deck = Kinds()
			r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		k := deck[0]
		deck = deck[1:]
		return draw(r, k, h, longest)
	}
	paired := map[int]bool{}
	for _, i := range r.Perm(n)[:n/10] {
		paired[i] = true
	}
	steps := make([]Step, n)
	for i := range steps {
		steps[i] = Step{N: i + 1, Faults: []Fault{next()}}
		if !paired[i] {
			continue
		}
		second := next()
		if second.Kind == Reboot && steps[i].Faults[0].Kind == Reboot { // as a deck ends and another begins
			deck = append(deck, Reboot)
			second = next()
		}
		steps[i].Lag, steps[i].Faults = overlap(r, steps[i].Faults[0], second)
	}
	return steps
}

// overlap has the second of two faults begin while the first lasts. A reboot, which lasts as long as it takes, comes second.
func overlap(r *rand.Rand, a, b Fault) (lag time.Duration, pair []Fault) {
	if a.Kind == Reboot {
		a, b = b, a
	}
	a.Hold = max(a.Hold, time.Second)
	return time.Duration(r.Int64N(int64(a.Hold) * 3 / 4)).Round(time.Millisecond), []Fault{a, b}
}

// draw picks whom a fault befalls, and for how long.
func draw(r *rand.Rand, k Kind, h Hosts, longest time.Duration) Fault {
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	all := slices.Concat(h.Roots, h.Clusters, h.Standbys, h.Workers)
	f := Fault{Kind: k, Hold: time.Duration(r.Int64N(int64(longest))).Round(time.Millisecond)}
	if r.IntN(4) == 0 && strings.HasPrefix(string(k), "kill") {
		f.Hold = 0
	}
	switch k {
	case KillEngine, StopEngine:
		f.Target = "NodeEngine@" + pick(h.Workers)
	case KillNet, StopNet:
		f.Target = "NetManager@" + pick(h.Workers)
	case KillContainerd:
		f.Target = "containerd@" + pick(h.Workers)
	case KillCluster, StopCluster:
		f.Target = "cluster-orchestrator@" + pick(slices.Concat(h.Clusters, h.Standbys))
	case KillBroker, StopBroker:
		f.Target = "mosquitto@" + pick(h.Clusters)
	case KillRoot, StopRoot:
		f.Target = "root-orchestrator@" + pick(h.Roots)
	case EndPostgres:
		f.Target = "postgres@machine"
	case CutHost, Reboot:
		f.Target = pick(all)
		if k == Reboot {
			f.Hold = 0
		}
	case CutPair, OneWay, DelayPair:
		f.Target = pick(all)
		for f.Other = f.Target; f.Other == f.Target; {
			f.Other = pick(all)
		}
		if k == DelayPair {
			f.Milliseconds = 20 + r.IntN(480)
		}
	}
	return f
}
