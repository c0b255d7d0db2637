// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/pins"
)

// managerSilence is how old NetManager's heartbeat may be before the programs take it for dead (they drop misses as no_manager).
const managerSilence = 2 * time.Second

// Status is one worker's datapath as a whole.
type Status struct {
	Worker string `json:"worker"`
	// Pins is the folder of everything pinned of this version.
	Pins string `json:"pins"`
	// Version names the shape of the maps.
	Version  string    `json:"version"`
	Manager  Manager   `json:"net_manager"`
	Config   Config    `json:"config"`
	Programs []Program `json:"programs"`
	// Uplinks says how the program for each uplink's card runs.
	Uplinks []features.Uplink `json:"uplinks"`
	// Kernel is the release that the datapath was loaded on, Features what it found there; empty where it left no record.
	Kernel   string             `json:"kernel"`
	Features []features.Feature `json:"features"`
	Maps     []MapUse           `json:"maps"`
	// MapBytes is the memory that the kernel has charged for all maps.
	MapBytes uint64 `json:"map_bytes"`
}

// Fallbacks lists the kernel features that are done without.
func (s Status) Fallbacks() []features.Feature {
	return features.Record{Features: s.Features}.Fallbacks()
}

// Manager is what the datapath knows of NetManager.
type Manager struct {
	// State is alive, dead, or never where there was no heartbeat since the maps were made.
	State string `json:"state"`
	// Heartbeat is the age of the last one in seconds, Since when it was while NetManager is dead; null otherwise.
	Heartbeat *float64   `json:"heartbeat_age_seconds"`
	Since     *time.Time `json:"dead_since"`
}

// Config is what the programs go by. An empty prefix or address is none.
type Config struct {
	ServiceRange   netip.Prefix `json:"service_range"`
	ServiceRangeV6 netip.Prefix `json:"service_range_ipv6"`
	WorkerRange    netip.Prefix `json:"worker_range"`
	WorkerRangeV6  netip.Prefix `json:"worker_range_ipv6"`
	Gateway        netip.Addr   `json:"gateway"`
	GatewayV6      netip.Addr   `json:"gateway_ipv6"`
	TunnelPort     uint16       `json:"tunnel_port"`
	// MTU is that of containers, in bytes.
	MTU uint16 `json:"container_mtu"`
	// UpcallIfindex is where packets of a miss go; 0: nowhere.
	UpcallIfindex   uint32 `json:"upcall_ifindex"`
	UpcallInterface string `json:"upcall_interface"`
}

// Program is one program on one interface.
type Program struct {
	Kind    string `json:"kind"`
	Ifindex int    `json:"ifindex"`
	// Interface is its name; empty where it is in another network namespace than this process.
	Interface string `json:"interface"`
	// Attached is false where the interface is gone and only the link's pin is left.
	Attached bool       `json:"attached"`
	ID       uint32     `json:"program_id"`
	Name     string     `json:"program_name"`
	Tag      string     `json:"tag"`
	LoadedAt *time.Time `json:"loaded_at"`
}

// Status reads the whole.
func (r *Reader) Status() (Status, error) {
	s := Status{Worker: r.worker.Name, Pins: r.worker.VersionDir(), Version: r.worker.Version, Programs: []Program{}, Uplinks: []features.Uplink{}, Features: []features.Feature{}}
	if r.attachErr != nil {
		return s, r.attachErr
	}
	for _, a := range r.attachments {
		s.Programs = append(s.Programs, Program{
			Kind: a.Kind, Ifindex: a.Ifindex, Interface: a.Interface, Attached: !a.Gone,
			ID: a.Program, Name: a.Name, Tag: a.Tag, LoadedAt: r.clock.wall(a.Loaded),
		})
	}
	var err error
	if s.Manager, err = r.manager(); err != nil {
		return s, err
	}
	if s.Config, err = r.config(); err != nil {
		return s, err
	}
	record, err := features.Read(r.worker.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	if err == nil {
		s.Kernel, s.Features = record.Kernel, record.Features
		s.Uplinks = uplinks(record.Uplinks, r.attachments)
	}
	if s.Maps, err = r.mapUses(); err != nil {
		return s, err
	}
	for _, m := range s.Maps {
		if m.Bytes != nil {
			s.MapBytes += *m.Bytes
		}
	}
	return s, nil
}

// uplinks holds what NetManager has left behind against what is there now.
func uplinks(record []features.Uplink, now []pins.Attachment) []features.Uplink {
	out := []features.Uplink{}
	for _, u := range record {
		i := slices.IndexFunc(now, func(a pins.Attachment) bool { return a.Kind == "xdp" && a.Ifindex == u.Ifindex && !a.Gone })
		switch {
		case i >= 0 && now[i].XDP != "":
			u.XDP = now[i].XDP
		case i < 0 && u.XDP != features.XDPOff:
			u.XDP, u.Decap, u.Why = features.XDPOff, false, "somebody has taken the program off: restart NetManager to have it back"
		}
		out = append(out, u)
	}
	return out
}

func (r *Reader) manager() (Manager, error) {
	beat, _, err := r.maps.Heartbeat.Lookup(0)
	if err != nil {
		return Manager{}, err
	}
	if beat == 0 {
		return Manager{State: "never"}, nil
	}
	m := Manager{State: "alive", Heartbeat: r.clock.sinceOrNever(beat)}
	if age := r.clock.Monotonic - time.Duration(beat); age > managerSilence {
		since := r.clock.Wall.Add(-age).UTC().Round(time.Second)
		m.State, m.Since = "dead", &since
	}
	return m, nil
}

func (r *Reader) config() (Config, error) {
	c, _, err := r.maps.Config.Lookup(0)
	if err != nil {
		return Config{}, err
	}
	return Config{
		ServiceRange: prefix(c.Services4), ServiceRangeV6: prefix(c.Services6),
		WorkerRange: prefix(c.Workers4), WorkerRangeV6: prefix(c.Workers6),
		Gateway: c.Gateway4.Netip(), GatewayV6: c.Gateway6.Netip(),
		TunnelPort: c.TunnelPort, MTU: c.Mtu,
		UpcallIfindex: c.UpcallIfindex, UpcallInterface: r.names[c.UpcallIfindex],
	}, nil
}
