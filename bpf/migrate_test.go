// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

func u(size uint32) *btf.Int { return &btf.Int{Name: "u", Size: size} }

func structOf(size uint32, members ...btf.Member) *btf.Struct {
	return &btf.Struct{Name: "s", Size: size, Members: members}
}

func member(name string, at btf.Bits, t btf.Type) btf.Member {
	return btf.Member{Name: name, Offset: at * 8, Type: t}
}

func TestConvertByFields(t *testing.T) {
	from := structOf(16, member("gone", 0, u(4)), member("grown", 4, u(2)), member("in", 8, structOf(8, member("moved", 4, u(4)))))
	to := structOf(16, member("in", 0, structOf(8, member("fresh", 0, u(4)), member("moved", 4, u(4)))), member("grown", 8, u(8)))
	c, err := convert(from, to, false)
	must(t, err)
	old := make([]byte, 16)
	binary.LittleEndian.PutUint32(old[0:], 0xffffffff)
	binary.LittleEndian.PutUint16(old[4:], 0xabcd)
	binary.LittleEndian.PutUint32(old[8:], 0xffffffff)
	binary.LittleEndian.PutUint32(old[12:], 77)
	got := c.apply(old)
	if binary.LittleEndian.Uint64(got) != 77<<32 || binary.LittleEndian.Uint64(got[8:]) != 0xabcd {
		t.Errorf("converted to % x", got)
	}
	if at := offset(to, "in", "moved"); at != 4 {
		t.Errorf("the field lies at %d, want 4", at)
	}
	for want, types := range map[string][2]btf.Type{
		"of 8 bytes has become": {structOf(8, member("a", 0, u(8))), structOf(4, member("a", 0, u(4)))},
		"has become":            {structOf(8, member("a", 0, u(8))), structOf(8, member("a", 0, structOf(8)))},
		"field a: Array":        {structOf(8, member("a", 0, &btf.Array{Type: u(4), Nelems: 2})), structOf(8, member("a", 0, &btf.Array{Type: u(4), Nelems: 1}))},
		"cannot be converted":   {structOf(8, member("a", 0, u(8))), structOf(8, member("a", 0, &btf.Pointer{Target: u(4)}))},
	} {
		if _, err := convert(types[0], types[1], false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	for want, types := range map[string][2]btf.Type{
		"is new": {structOf(4), structOf(4, member("a", 0, u(4)))},
		"lost":   {structOf(4, member("a", 0, u(4))), structOf(4)},
		"of 8":   {structOf(4, member("a", 0, u(4))), structOf(8, member("a", 0, u(8)))},
	} {
		if _, err := convert(types[0], types[1], true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of a key got %v, want an error with %q", err, want)
		}
	}
}

// TestMigrationCatchesUp: what the former programs changed after the copy is brought, what the new ones have changed since stays.
func TestMigrationCatchesUp(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mount("bpf", dir, "bpf", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	former, fresh := filepath.Join(dir, "former"), filepath.Join(dir, "fresh")
	must(t, os.Mkdir(former, 0o700))
	must(t, os.Mkdir(fresh, 0o700))
	p1, old, err := Load(former, Kernel{})
	must(t, err)
	p1.Close()
	defer old.Close()
	p2, now, err := Load(fresh, Kernel{})
	must(t, err)
	p2.Close()
	defer now.Close()

	begin := monotonic()
	key := func(port uint16) FlowKey {
		return FlowKey{Src: AddrFrom(client), Dst: AddrFrom(vipLocal), Sport: port, Dport: 80, Proto: unix.IPPROTO_TCP, From: 1}
	}
	flow := func(packets uint64, after time.Duration) Flow {
		return Flow{Src: AddrFrom(client), Dst: AddrFrom(server), Packets: packets, LastSeen: begin + after}
	}
	for port := range uint16(3) {
		must(t, old.Flows().Put(key(port), flow(1, 0)))
	}
	must(t, old.Heartbeat.Put(0, 42))
	must(t, old.Backends.Put(7, Backend{Generation: 9, Tag: 3}))
	m, err := NewMigration(former, now)
	must(t, err)
	defer m.Close()
	must(t, m.Copy())
	must(t, old.Flows().Put(key(1), flow(2, time.Second)))   // changed by the former programs
	must(t, old.Flows().Put(key(3), flow(1, time.Second)))   // opened by them
	must(t, now.Flows().Put(key(2), flow(9, time.Second*2))) // changed by the new ones
	must(t, m.CatchUp())
	later := now.Flows().At(begin + time.Minute)
	for port, want := range []uint64{1, 2, 9, 1} {
		f, ok, err := later.Lookup(key(uint16(port)))
		must(t, err)
		if !ok || f.Packets != want {
			t.Errorf("flow %d: %v with %d packets, want %d", port, ok, f.Packets, want)
		}
	}
	if beat, _, err := now.Heartbeat.Lookup(0); err != nil || beat != 42 {
		t.Errorf("heartbeat %d, %v; want 42", beat, err)
	}
	if b, _, err := now.Backends.Lookup(7); err != nil || b.Generation != 9 || b.Tag != 3 {
		t.Errorf("backend %+v, %v", b, err)
	}
}
