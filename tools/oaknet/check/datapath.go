// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// View is what was read of a worker's datapath at one moment.
type View struct {
	Status    inspect.Status
	Nodes     []inspect.Node
	Endpoints []inspect.Endpoint
	Routes    []inspect.Route
	Drops     []inspect.Drop
}

// Bounds of how full a map may be, of what it can hold.
const (
	nearlyFull = 0.8
	full       = 0.95
)

// smallMap is how many entries a map has to have for its fill to mean something.
const smallMap = 64

// Datapath judges programs, NetManager, kernel and maps.
func Datapath(v View) Findings {
	var f Findings
	f.manager(v.Status)
	f.settings(v.Status)
	f.programs(v.Status)
	f.endpoints(v)
	f.kernel(v.Status)
	f.maps(v.Status)
	f.held(v)
	return f
}

func (f *Findings) manager(s inspect.Status) {
	const subject = "NetManager"
	switch m := s.Manager; m.State {
	case "alive":
		f.add(OK, subject, fmt.Sprintf("alive %.1f s ago", *m.Heartbeat), "")
	case "dead":
		f.add(Failure, subject, fmt.Sprintf("dead for %.0f s: known services and flows go on, new ones are dropped as no_manager", *m.Heartbeat),
			"start NetManager; its log says why it ended")
	default:
		f.add(Failure, subject, "was never ready since the maps were made",
			"ask `NetManager status` what it waits for: an identity from NodeEngine, the cluster's word on the worker's subnet, or an uplink")
	}
}

func (f *Findings) settings(s inspect.Status) {
	c := s.Config
	if !c.ServiceRange.IsValid() || c.TunnelPort == 0 || !c.Gateway.IsValid() {
		f.add(Failure, "settings", "the programs have no service range, gateway or tunnel port yet: they carry nothing",
			"join the worker to a cluster: NodeEngine's log says how far that has come")
		return
	}
	if c.UpcallIfindex == 0 {
		f.add(Failure, "settings", "there is nowhere to send first packets to: new services cannot be reached", "restart NetManager")
	}
}

func (f *Findings) programs(s inspect.Status) {
	tags := map[string][]string{} // by kind
	attached, gone := map[string]int{}, 0
	for _, p := range s.Programs {
		if !p.Attached {
			gone++
			continue
		}
		attached[p.Kind]++
		if !slices.Contains(tags[p.Kind], p.Tag) {
			tags[p.Kind] = append(tags[p.Kind], p.Tag)
		}
	}
	if len(s.Programs) == 0 && s.Kernel != "" && !uses(s, "tcx") {
		f.add(Warning, "programs", "none is seen: filters show in their own network namespace alone", "run oak-net in the worker's network namespace")
		return
	}
	for _, need := range []struct{ kind, without, advice string }{
		{"uplink_in", "nothing from other workers is taken", "see that the uplink is up and has an address, and that NetManager's --uplink names it"},
		{"uplink_out", "overlay packets may leave by the uplink as they are", "see that the uplink is up, and restart NetManager"},
		{"guard", "the tunnel's kernel device may deliver past the programs", "restart NetManager"},
		{"reinject", "first packets cannot come back from NetManager", "restart NetManager"},
		{"sink", "first packets reach the host's stack", "restart NetManager"},
	} {
		if attached[need.kind] == 0 {
			f.add(Failure, "program "+need.kind, "is on no interface: "+need.without, need.advice)
		}
	}
	for kind, of := range tags {
		if len(of) > 1 {
			f.add(Warning, "program "+kind, fmt.Sprintf("there are %d builds of it: an upgrade stopped half-way", len(of)), "restart NetManager")
		}
	}
	if gone > 0 {
		f.add(Note, "programs", plural(gone, "link")+" without an interface", "none needed: NetManager removes them at its next start")
	}
	total := 0
	for _, n := range attached {
		total += n
	}
	if total > 0 {
		f.add(OK, "programs", plural(total, "program")+" attached", "")
	}
}

func uses(s inspect.Status, feature string) bool {
	for _, f := range s.Features {
		if f.Name == feature {
			return f.Used
		}
	}
	return false
}

func (f *Findings) endpoints(v View) {
	if len(v.Status.Programs) == 0 {
		return // said already
	}
	for _, e := range v.Endpoints {
		if !e.Attached && e.Host {
			f.add(Failure, "host", fmt.Sprintf("its interface %d carries no program: processes of the host reach no service", e.Ifindex), "restart NetManager")
		} else if !e.Attached {
			f.add(Failure, fmt.Sprintf("endpoint %s.%d", e.ServiceID, e.Number),
				fmt.Sprintf("its interface %d carries no program: the instance reaches nobody", e.Ifindex), "restart the instance, or else NetManager")
		}
	}
}

func (f *Findings) kernel(s inspect.Status) {
	if s.Kernel == "" {
		return
	}
	fallbacks := s.Fallbacks()
	for _, k := range fallbacks {
		advice := "none needed"
		if k.Least != "" && !k.Found {
			advice = "none needed; Linux " + k.Least + " has it"
		}
		f.add(Note, "kernel "+s.Kernel, fmt.Sprintf("without %s (%s): %s", k.Name, k.Use, k.Fallback), advice)
	}
	if len(fallbacks) == 0 {
		f.add(OK, "kernel "+s.Kernel, "has every feature", "")
	}
}

func (f *Findings) maps(s inspect.Status) {
	worst := 0.0
	for _, m := range s.Maps {
		// An LRU is full in ordinary life, and makes room by itself.
		if m.Entries == nil || m.MaxEntries < smallMap || strings.HasPrefix(m.Type, "LRU") {
			continue
		}
		fill := float64(*m.Entries) / float64(m.MaxEntries)
		worst = max(worst, fill)
		text := fmt.Sprintf("%.0f %% full: %d of %d entries", 100*fill, *m.Entries, m.MaxEntries)
		switch {
		case fill >= full:
			f.add(Failure, "map "+m.Name, text+"; what does not fit is refused", "run fewer services, instances or flows on or from this worker")
		case fill >= nearlyFull:
			f.add(Warning, "map "+m.Name, text, "watch it with `oak-net status --watch`: what does not fit will be refused")
		}
	}
	if worst < nearlyFull {
		f.add(OK, "maps", fmt.Sprintf("at most %.0f %% full, %.1f MiB in all", 100*worst, float64(s.MapBytes)/(1<<20)), "")
	}
}

func (f *Findings) held(v View) {
	for _, r := range v.Routes {
		if r.Waiting > 0 && v.Status.Manager.State == "alive" {
			f.add(Note, "address "+r.Address.String(), plural(int(r.Waiting), "first packet")+" wait for the cluster's answer",
				"if that stays, see whether the worker is connected: `NetManager status`")
		}
	}
}
