// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/bench/topology"
)

// Part is a part of a run: its variants take turns in the same rounds. Ratios are made within a part only.
type Part struct {
	Name   string
	Rounds int
	Slices []Slice
}

// Slice is one measurement of a round.
type Slice struct {
	Variant  Variant
	Workload Workload
}

// Name is how a slice is selected and recorded.
func (s Slice) Name() string { return s.Variant.Name + "/" + s.Workload.Name }

// Setups of the main table: few services, each with one instance, so that every way has one server to send to.
const (
	fewServices = 10
	one         = 1
	several     = 10
)

// Growth is how many services the second part has.
var Growth = []int{10, 1_000, 10_000}

func services(w Way, n, endpoints int) Setup {
	return Setup{Way: w, Services: n, Endpoints: endpoints}
}

// Table compares the ways with one another.
func Table(rounds int) Part {
	type way struct {
		name  string
		setup Setup
		ipv6  bool
	}
	ways := []way{
		{"routed", Setup{Way: Routed}, false}, {"bare", Setup{Way: Bare}, false}, {"nft", services(NFT, fewServices, one), false},
		{"oak", services(Oak, fewServices, one), false}, {"oak6", services(Oak, fewServices, one), true},
		{"routed6", Setup{Way: Routed}, true}, // what IPv6 costs the kernel itself
	}
	other := []Variant{{Name: "host", Setup: Setup{Way: Hosts}, Place: topology.Other}}
	var same, plain []Variant
	for _, w := range ways {
		v := Variant{Name: w.name, Setup: w.setup, Place: topology.Other, IPv6: w.ipv6, Policy: wire.PolicyRoundRobin}
		other = append(other, v)
		s := v
		s.Name, s.Place = w.name+"-same", topology.Same
		same = append(same, s)
	}
	for _, v := range other {
		if !v.IPv6 && v.Setup.Way != Bare {
			v.Name, v.Plain = v.Name+"-plain", true
			plain = append(plain, v)
		}
	}
	p := Part{Name: "table", Rounds: rounds}
	for _, w := range Workloads() {
		p.add(w, other...)
		p.add(w, same...)
		if w == Bulk || w == Bulk4 {
			p.add(w, plain...)
		}
	}
	return p
}

// Many compares few services with many, and each way with the others.
func Many(rounds int) Part {
	p := Part{Name: "growth", Rounds: rounds}
	for _, w := range []Workload{Bulk, Request, Connect, UDP} {
		for _, way := range []Way{Oak, NFT, IPTables} {
			for _, n := range Growth {
				if way == IPTables && w != Connect {
					continue // only a flow's first packet passes the chains
				}
				s := services(way, n, several)
				p.add(w, Variant{Name: s.Name(), Setup: s, Place: topology.Other, Policy: wire.PolicyRoundRobin})
			}
		}
	}
	return p
}

// Scale compares few services of this project with as many as it is made for, in as many rounds as a demand takes.
func Scale(rounds int) Part {
	p := Part{Name: "scale", Rounds: rounds}
	for _, w := range []Workload{Bulk, Request, Connect, UDP} {
		for _, n := range []int{Growth[0], Growth[len(Growth)-1]} {
			s := services(Oak, n, several)
			p.add(w, Variant{Name: s.Name(), Setup: s, Place: topology.Other, Policy: wire.PolicyRoundRobin})
		}
	}
	return p
}

// All are the parts of a whole run: those that demands are made of have so many rounds, the others fewer.
func All(rounds, fewer int) []Part {
	return []Part{Table(rounds), Scale(rounds), Policies(fewer), Many(fewer)}
}

// Policies compares the ways to choose an instance.
func Policies(rounds int) Part {
	p := Part{Name: "policies", Rounds: rounds}
	s := services(Oak, fewServices, several)
	for _, w := range []Workload{Bulk, Request, Connect, UDP} {
		for _, place := range []topology.Place{topology.Other, topology.Same} {
			for _, policy := range []wire.Policy{wire.PolicyRoundRobin, wire.PolicyClosest, wire.PolicyUnderutilized, wire.PolicyInstance} {
				name := "oak-" + string(policy)
				if place == topology.Same {
					name += "-same"
				}
				p.add(w, Variant{Name: name, Setup: s, Place: place, Policy: policy})
			}
		}
	}
	return p
}

func (p *Part) add(w Workload, variants ...Variant) {
	for _, v := range variants {
		p.Slices = append(p.Slices, Slice{v, w})
	}
}

// Round returns the order of a round: every other one is reversed, so that what the one before leaves behind meets each from both sides.
func (p Part) Round(n int) []Slice {
	s := slices.Clone(p.Slices)
	if n%2 == 1 {
		slices.Reverse(s)
	}
	return s
}

// Setups are those that the part's slices need, each once.
func (p Part) Setups() (out []Setup) {
	for _, s := range p.Slices {
		if !slices.Contains(out, s.Variant.Setup) {
			out = append(out, s.Variant.Setup)
		}
	}
	return out
}

// Only keeps what a selection names: words that are parts, variants, workloads or VARIANT/WORKLOAD. A slice stays if a word of each
// sort that occurs among them names it. No words keep everything.
func Only(parts []Part, words []string) ([]Part, error) {
	if len(words) == 0 {
		return parts, nil
	}
	chosen := map[string][]string{}
	for _, w := range words {
		sort := sortOf(parts, w)
		if sort == "" {
			return nil, fmt.Errorf("%q is neither a part nor a variant nor a workload: there are %s", w, strings.Join(names(parts), ", "))
		}
		chosen[sort] = append(chosen[sort], w)
	}
	fits := func(sort, name string) bool { return chosen[sort] == nil || slices.Contains(chosen[sort], name) }
	var out []Part
	for _, p := range parts {
		kept := slices.DeleteFunc(slices.Clone(p.Slices), func(s Slice) bool {
			return !fits("part", p.Name) || !fits("variant", s.Variant.Name) || !fits("workload", s.Workload.Name) || !fits("slice", s.Name())
		})
		if len(kept) > 0 {
			p.Slices = kept
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("nothing is all of %s", strings.Join(words, ", "))
	}
	return out, nil
}

func sortOf(parts []Part, word string) string {
	for _, p := range parts {
		if p.Name == word {
			return "part"
		}
		for _, s := range p.Slices {
			switch word {
			case s.Variant.Name:
				return "variant"
			case s.Workload.Name:
				return "workload"
			case s.Name():
				return "slice"
			}
		}
	}
	return ""
}

// names lists what can be selected.
func names(parts []Part) (out []string) {
	note := func(n string) {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	for _, p := range parts {
		note(p.Name)
		for _, s := range p.Slices {
			note(s.Variant.Name)
			note(s.Workload.Name)
		}
	}
	return out
}
