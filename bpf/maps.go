// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Maps are all maps of one worker. What each holds and who writes it stands in include/maps.h.
type Maps struct {
	Config     Table[uint32, Config]                      `ebpf:"config"`
	Heartbeat  Table[uint32, uint64]                      `ebpf:"heartbeat"`
	Takeover   Table[uint32, Takeover]                    `ebpf:"takeover"`
	Endpoints  Table[uint32, Endpoint]                    `ebpf:"endpoints"`
	Local      Table[Addr, uint32]                        `ebpf:"local"`
	Peers      Table[uint32, Peer]                        `ebpf:"peers"`
	PeerAddrs  Table[PeerAddr, uint32]                    `ebpf:"peer_addrs"`
	Nexthops   Table[uint32, []mapsOakNexthop]            `ebpf:"nexthops"`
	PeerHealth Table[uint32, PeerHealth]                  `ebpf:"peer_health"`
	Paths      Table[uint32, Path]                        `ebpf:"paths"`
	PeerStats  Table[uint32, []PeerStats]                 `ebpf:"peer_stats"`
	Sources    Table[Addr, Source]                        `ebpf:"sources"`
	VIPs       Table[Addr, VIP]                           `ebpf:"vips"`
	Services   Table[uint32, Service]                     `ebpf:"services"`
	Cursors    Table[uint32, uint32]                      `ebpf:"cursors"`
	Backends   Table[uint32, Backend]                     `ebpf:"backends"`
	Loads      Table[uint32, ActiveFlows]                 `ebpf:"loads"`
	Flows4     Table[mapsOakKey4, mapsOakCt4]             `ebpf:"flows4"`
	Flows6     Table[mapsOakKey, mapsOakCt6]              `ebpf:"flows6"`
	Shares     Table[uint32, Share]                       `ebpf:"shares"`
	Rings      Table[uint32, []mapsOakRinged]             `ebpf:"rings"`
	RingAt     Table[uint32, []uint32]                    `ebpf:"ring_at"`
	Exposed    Table[Port, Exposed]                       `ebpf:"exposed"`
	OwnAddrs   Table[Addr, uint32]                        `ebpf:"own_addrs"`
	Fragments  Table[mapsOakFragmentKey, mapsOakFragment] `ebpf:"fragments"`
	Pending    Table[Addr, Pending]                       `ebpf:"pending"`
	MissRate   Table[uint32, uint64]                      `ebpf:"miss_rate"`
	Drops      Table[uint32, []Counter]                   `ebpf:"drops"`
	Stats      Table[uint32, []Counter]                   `ebpf:"stats"`
	Packet     Table[uint32, []mapsOakPkt]                `ebpf:"packet"`
	Scratch    Table[uint32, []Scratch]                   `ebpf:"scratch"`
	Events     *ebpf.Map                                  `ebpf:"events"`
	Trace      Table[uint32, Trace]                       `ebpf:"trace"`
	Traces     *ebpf.Map                                  `ebpf:"traces"`
}

// MapDir is the folder, below a version folder of pins, that holds the maps.
const MapDir = "maps"

// each calls f with the name of every map and where it is kept.
func (m *Maps) each(f func(name string, at **ebpf.Map) error) error {
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		field := v.Field(i).Addr()
		name := v.Type().Field(i).Tag.Get("ebpf")
		var at **ebpf.Map
		switch p := field.Interface().(type) {
		case **ebpf.Map:
			at = p
		case interface{ slot() **ebpf.Map }:
			at = p.slot()
		}
		if err := f(name, at); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table[K, V]) slot() **ebpf.Map { return &t.m }

// OpenMaps opens the pinned maps in dir. It needs no running NetManager.
func OpenMaps(dir string) (*Maps, error) {
	m := &Maps{}
	err := m.each(func(name string, at **ebpf.Map) error {
		opened, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("open map %s: no pin in %s: has NetManager ever run here, and is --bpffs right?: %w", name, dir, err)
			}
			return fmt.Errorf("open map %s: %w", name, err)
		}
		*at = opened
		return nil
	})
	if err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// MapsOf takes the maps out of a loaded collection. The caller closes them.
func MapsOf(c *ebpf.Collection) (*Maps, error) {
	m := &Maps{}
	err := m.each(func(name string, at **ebpf.Map) error {
		if *at = c.DetachMap(name); *at == nil {
			return fmt.Errorf("map %s is not in the collection", name)
		}
		return nil
	})
	if err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// Close closes all maps; pins stay.
func (m *Maps) Close() error {
	var errs []error
	_ = m.each(func(_ string, at **ebpf.Map) error {
		if *at != nil {
			errs = append(errs, (*at).Close())
			*at = nil
		}
		return nil
	})
	return errors.Join(errs...)
}

// ByName returns the map of that name, for raw dumps; nil if there is none.
func (m *Maps) ByName(name string) *ebpf.Map {
	var found *ebpf.Map
	_ = m.each(func(n string, at **ebpf.Map) error {
		if n == name {
			found = *at
		}
		return nil
	})
	return found
}

// Names lists all maps in the order of [Maps].
func (m *Maps) Names() []string {
	var names []string
	_ = m.each(func(n string, _ **ebpf.Map) error {
		names = append(names, n)
		return nil
	})
	return names
}

// DropReasons returns the names of the drop reasons, such as "spoofed_source", by their number. They are read from the type
// information of the compiled object, so that they cannot differ from what the programs count.
func DropReasons() (map[uint32]string, error) {
	return enumNames("oak_drop", "OAK_DROP_", "none", "max")
}

// StatNames returns the names of the other counters by their number.
func StatNames() (map[uint32]string, error) { return enumNames("oak_stat", "OAK_STAT_", "max") }

func enumNames(enum, prefix string, without ...string) (map[uint32]string, error) {
	spec, err := loadMaps()
	if err != nil {
		return nil, fmt.Errorf("read the map object: %w", err)
	}
	var e *btf.Enum
	if err := spec.Types.TypeByName(enum, &e); err != nil {
		return nil, fmt.Errorf("find enum %s: %w", enum, err)
	}
	names := make(map[uint32]string, len(e.Values))
values:
	for _, v := range e.Values {
		name := strings.ToLower(strings.TrimPrefix(v.Name, prefix))
		for _, w := range without {
			if name == w {
				continue values
			}
		}
		names[uint32(v.Value)] = name
	}
	return names, nil
}
