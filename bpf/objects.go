// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Programs are all programs. They share their maps by name.
type Programs struct {
	// Container is for tc ingress on the host side of a container's veth.
	Container *ebpf.Program
	// UplinkIn and UplinkOut are for tc ingress and egress of an uplink.
	UplinkIn, UplinkOut *ebpf.Program
	// Reinject is for tc ingress of oak-up0, Sink for that of oak-up1.
	Reinject, Sink *ebpf.Program
	// Guard is for tc ingress of the tunnel's kernel device.
	Guard *ebpf.Program
	// XDP is for the card of an uplink whose driver runs such programs itself.
	XDP *ebpf.Program

	// With [Kernel.CardDecap], what UplinkIn goes on to, and where it finds that.
	plain, fromCard *ebpf.Program
	cardNext        *ebpf.Map
}

// Close closes all programs; where they are attached they stay.
func (p *Programs) Close() {
	for _, prog := range []*ebpf.Program{p.Container, p.UplinkIn, p.UplinkOut, p.Reinject, p.Sink, p.Guard, p.XDP, p.plain, p.fromCard} {
		_ = prog.Close() // of a nil program too
	}
	_ = p.cardNext.Close()
}

// PinTail keeps at path what UplinkIn goes on to, in place of what an earlier load has left there: the kernel empties a table of programs
// that no process holds and that is not pinned. Without [Kernel.CardDecap] there is no such table. UplinkIn of the earlier load is not to be
// attached any more.
func (p *Programs) PinTail(path string) error {
	if p.cardNext == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the pin of an earlier table of programs: %w", err)
		}
		return nil
	}
	fresh := path + "_new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove left-over table of programs: %w", err)
	}
	if err := p.cardNext.Pin(fresh); err != nil {
		return fmt.Errorf("pin table of programs: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("replace table of programs: %w", err)
	}
	return nil
}

// Kernel is what the programs have to know of the kernel beneath them, and which of its ways they are to take. The zero value does on
// every kernel that is supported.
type Kernel struct {
	// DecapL3 is that bpf_skb_adjust_room can be told the family of what it uncovers (Linux 6.3).
	DecapL3 bool
	// PathKept is how long the kernel believes what routers say of a way's MTU, and with it the programs; 10 minutes if 0.
	PathKept time.Duration
	// CardDecap is that the card's program takes outer headers off, and tells the uplink's.
	CardDecap bool
	// CardGeneric is that the kernel itself runs the card's program, after the driver. What such a program would get in several buffers
	// kernels give to tc as if it had no Ethernet header (seen on 6.18); so it gets none.
	CardGeneric bool

	// Processors is how many the machine may have; 0 to ask it. The more there are, the shorter is the ring of each.
	Processors int

	interim bool // see LoadInterim
}

// Load loads every program and all maps. With pinPath, maps are pinned there by name, and those already there are used; a pinned
// map of another shape is an error. With an empty pinPath nothing is pinned.
func Load(pinPath string, on Kernel) (*Programs, *Maps, error) {
	spec, err := loadMaps()
	if err != nil {
		return nil, nil, fmt.Errorf("read object maps: %w", err)
	}
	all, err := newCollection(spec, pinPath, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("create maps: %w", err)
	}
	defer all.Close()
	progs, err := loadPrograms(all.Maps, on)
	if err != nil {
		return nil, nil, err
	}
	maps, err := MapsOf(all)
	if err != nil {
		progs.Close()
		return nil, nil, err
	}
	return progs, maps, nil
}

// LoadInterim loads the programs for the moment in which the maps of a former build are taken over, over this build's maps. Attached in front
// of the former programs, they leave to these what no flow has, as [Maps].Takeover says (include/former.h).
func LoadInterim(maps *Maps, on Kernel) (*Programs, error) {
	byName := map[string]*ebpf.Map{}
	_ = maps.each(func(name string, at **ebpf.Map) error {
		byName[name] = *at
		return nil
	})
	on.interim = true
	return loadPrograms(byName, on)
}

func loadPrograms(maps map[string]*ebpf.Map, on Kernel) (*Programs, error) {
	p := &Programs{}
	uplink := map[string]**ebpf.Program{"oak_uplink_in": &p.UplinkIn, "oak_uplink_out": &p.UplinkOut}
	if on.CardDecap {
		uplink["oak_card_in"], uplink["oak_uplink_in"], uplink["oak_from_card"] = &p.UplinkIn, &p.plain, &p.fromCard
	}
	for _, object := range []struct {
		name string
		load func() (*ebpf.CollectionSpec, error)
		into map[string]**ebpf.Program
	}{
		{"container", loadContainer, map[string]**ebpf.Program{"oak_container": &p.Container}},
		{"uplink", loadUplink, uplink},
		{"upcall", loadUpcall, map[string]**ebpf.Program{"oak_reinject": &p.Reinject}},
		{"xdp", loadXdp, map[string]**ebpf.Program{"oak_xdp": &p.XDP}},
		{"guard", loadGuard, map[string]**ebpf.Program{"oak_guard": &p.Guard, "oak_sink": &p.Sink}},
	} {
		spec, err := object.load()
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("read object %s: %w", object.name, err)
		}
		if err := on.tell(spec); err != nil {
			p.Close()
			return nil, fmt.Errorf("prepare object %s: %w", object.name, err)
		}
		c, err := newCollection(spec, "", maps)
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("load program %s: %w", object.name, err)
		}
		for name, at := range object.into {
			*at = c.DetachProgram(name)
		}
		if m := c.DetachMap(cardNext); m != nil {
			p.cardNext = m
		}
		c.Close()
	}
	return p, nil
}

// cardNext is the table by which oak_card_in goes on.
const cardNext = "card_next"

// tell sets what in an object depends on the kernel and on the moment. The verifier leaves out what constants rule out.
func (k Kernel) tell(spec *ebpf.CollectionSpec) error {
	for name, is := range map[string]bool{"oak_has_decap_l3": k.DecapL3, "oak_interim": k.interim, "oak_card_decaps": k.CardDecap} {
		v, ok := spec.Variables[name]
		if !ok {
			continue
		}
		var value uint32
		if is {
			value = 1
		}
		if err := v.Set(value); err != nil {
			return fmt.Errorf("set the constant %s: %w", name, err)
		}
	}
	if v, ok := spec.Variables["oak_ring"]; ok {
		size, err := k.ring()
		if err != nil {
			return err
		}
		if err := v.Set(size); err != nil {
			return fmt.Errorf("set the length of rings: %w", err)
		}
	}
	if v, ok := spec.Variables["oak_path_kept_ns"]; ok && k.PathKept > 0 {
		if err := v.Set(uint64(k.PathKept)); err != nil {
			return fmt.Errorf("say how long a way's MTU is believed: %w", err)
		}
	}
	if !k.CardDecap {
		delete(spec.Programs, "oak_card_in")
		delete(spec.Programs, "oak_from_card")
		delete(spec.Maps, cardNext)
	}
	if card, ok := spec.Programs["oak_xdp"]; ok && k.CardGeneric {
		card.Flags &^= unix.BPF_F_XDP_HAS_FRAGS
	}
	return nil
}

// ring is how many flows that have not begun, and as many that have ended, each processor remembers: with all of them there is still room for
// half of the flows that the smaller map of flows holds, so that neither floods nor short connections keep others from being established.
func (k Kernel) ring() (uint32, error) {
	const rings, room = 2, mapsOakLimitsOAK_MAX_FLOWS6 / 2 / 2 // entries are two a flow
	processors := k.Processors
	if processors <= 0 {
		var err error
		if processors, err = ebpf.PossibleCPU(); err != nil {
			return 0, fmt.Errorf("count the processors: %w", err)
		}
	}
	size := uint32(mapsOakLimitsOAK_RING)
	for size > leastRing && int(size)*rings*processors > int(room) {
		size /= 2
	}
	return size, nil
}

// leastRing is what a processor needs for connections that begin in the same moment.
const leastRing = 64

func newCollection(spec *ebpf.CollectionSpec, pinPath string, maps map[string]*ebpf.Map) (*ebpf.Collection, error) {
	replacements := make(map[string]*ebpf.Map)
	for name, m := range spec.Maps {
		if pinPath == "" {
			m.Pinning = ebpf.PinNone
		}
		if shared, ok := maps[name]; ok {
			replacements[name] = shared
		}
	}
	return ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Maps:            ebpf.MapOptions{PinPath: pinPath},
		MapReplacements: replacements,
	})
}

// Version names the shape of all maps: 8 hexadecimal digits of a hash over their kinds, sizes and the layout of their keys and
// values. Programs and tools of one version can share pinned maps.
func Version() (string, error) {
	spec, err := loadMaps()
	if err != nil {
		return "", fmt.Errorf("read object maps: %w", err)
	}
	var lines []string
	for name, m := range spec.Maps {
		line := fmt.Sprintf("%s %s %d %d %d %d", name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags)
		for _, t := range []btf.Type{m.Key, m.Value} {
			if s, ok := btf.UnderlyingType(t).(*btf.Struct); ok {
				line += layout(s)
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:4]), nil
}

// layout describes where a struct's members lie.
func layout(s *btf.Struct) string {
	var b strings.Builder
	fmt.Fprintf(&b, " %s{", s.Name)
	for _, m := range s.Members {
		fmt.Fprintf(&b, "%s@%d", m.Name, m.Offset)
		t := btf.UnderlyingType(m.Type)
		if inner, ok := t.(*btf.Struct); ok {
			b.WriteString(layout(inner))
		} else if size, err := btf.Sizeof(t); err == nil {
			fmt.Fprintf(&b, ":%d", size)
		}
		b.WriteByte(';')
	}
	b.WriteByte('}')
	return b.String()
}
