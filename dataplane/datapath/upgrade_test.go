// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/probe"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// inserted is the field that another build's entries of flows have and ours do not, in front of all others of struct oak_ct.
const inserted = 8

// otherLayout makes the worker's pins those of a build whose entries of flows have a field more, as if that build had made them. The
// programs that are attached go on with the maps that they have.
func (wk *worker) otherLayout(t *testing.T) (dir string) {
	t.Helper()
	now, err := datapath.MapDir(wk.w.bpffs, wk.name)
	wk.must(err)
	dir = filepath.Join(filepath.Dir(filepath.Dir(now)), "v00000000")
	wk.must(os.Rename(filepath.Dir(now), dir))
	for _, name := range []string{"flows4", "flows6"} {
		pin := filepath.Join(dir, bpf.MapDir, name)
		m, err := ebpf.LoadPinnedMap(pin, nil)
		wk.must(err)
		other, err := withFieldMore(m, map[string]string{"flows4": "oak_key4", "flows6": "oak_key"}[name],
			map[string]string{"flows4": "oak_ct4", "flows6": "oak_ct6"}[name])
		wk.must(err)
		wk.must(os.Remove(pin))
		wk.must(other.Pin(pin))
		_ = other.Close()
		_ = m.Close()
	}
	return dir
}

// withFieldMore copies a map of flows into one of the other layout.
func withFieldMore(m *ebpf.Map, keyName, valueName string) (*ebpf.Map, error) {
	handle, err := m.Handle()
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return nil, err
	}
	var key, value *btf.Struct
	if err := errors.Join(types.TypeByName(keyName, &key), types.TypeByName(valueName, &value)); err != nil {
		return nil, err
	}
	value = btf.Copy(value).(*btf.Struct)
	at := slices.IndexFunc(value.Members, func(m btf.Member) bool { return m.Name == "c" })
	c := value.Members[at].Type.(*btf.Struct)
	begin := value.Members[at].Offset.Bytes()
	for i := range c.Members {
		c.Members[i].Offset += inserted * 8
	}
	c.Members = append([]btf.Member{{Name: "of_another_build", Type: &btf.Int{Name: "u64", Size: inserted}}}, c.Members...)
	c.Size += inserted
	value.Size += inserted
	other, err := ebpf.NewMap(&ebpf.MapSpec{
		Type: m.Type(), KeySize: m.KeySize(), ValueSize: m.ValueSize() + inserted, MaxEntries: m.MaxEntries(), Flags: m.Flags(),
		Key: key, Value: value,
	})
	if err != nil {
		return nil, err
	}
	k, v := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	it := m.Iterate()
	for it.Next(&k, &v) {
		if err := other.Put(k, slices.Concat(v[:begin], bytes.Repeat([]byte{0xff}, inserted), v[begin:])); err != nil {
			return nil, err
		}
	}
	return other, it.Err()
}

// TestUpgradeFromAnotherLayoutBreaksNoFlow goes over to this build from one with another layout of flows, with many flows open.
func TestUpgradeFromAnotherLayoutBreaksNoFlow(t *testing.T) {
	t.Run("tcx", func(t *testing.T) { eachFamily(t, upgradeBreaksNoFlow) })
	t.Run("clsact", func(t *testing.T) {
		upgradeBreaksNoFlow(t, newWorldWith(t, inIPv4, inIPv4, datapath.Options{Without: []string{probe.TCX}}))
	})
	t.Run("cards", func(t *testing.T) {
		w := newWorldWith(t, inIPv4, inIPv4, datapath.Options{CardDecap: true}.GenericCards())
		w.asCards()
		upgradeBreaksNoFlow(t, w)
		w.decapped(false)
	})
}

func upgradeBreaksNoFlow(t *testing.T, w *world) {
	flows := 1000
	if os.Getenv("OAK_EMULATED") != "" {
		flows = 50
	}
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	client, near, far := a.box(), a.box(), b.box()
	near.listen(t, "near")
	far.listen(t, "far")
	a.serve(1, vip, near, far)
	b.admit(client)
	conns := make([]net.Conn, 0, flows)
	netnstest.Within(t, client.ns, func() error {
		for range flows {
			c, err := net.DialTimeout(w.inner.tcp(), at(vip, "80"), 5*time.Second)
			if err != nil {
				return fmt.Errorf("%w (drops %v %v)", err, a.drops(), b.drops())
			}
			t.Cleanup(func() { _ = c.Close() })
			conns = append(conns, c)
			if _, err := c.Read(make([]byte, 64)); err != nil { // the greeting
				return err
			}
		}
		return nil
	})
	for round := range 2 {
		for _, wk := range w.workers {
			former := wk.otherLayout(t)
			wk.reopen(t)
			if _, err := os.Stat(former); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: the former build's folder is still there: %v", wk.name, err)
			}
		}
		said := []byte(fmt.Sprintf("round %d", round))
		got := make([]byte, len(said))
		for i, c := range conns {
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := c.Write(said); err != nil {
				t.Fatalf("flow %d: %v", i, err)
			}
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, said) {
				t.Fatalf("flow %d: %q, %v (drops %v %v)", i, got, err, a.drops(), b.drops())
			}
		}
		for range 4 {
			if _, err := client.ask(t, vip); err != nil {
				t.Errorf("a new connection after the upgrade: %v", err)
			}
		}
	}
	for _, wk := range w.workers {
		if d := wk.drops(); len(d) != 0 {
			t.Errorf("%s dropped %v", wk.name, d)
		}
	}
}

// TestUpgradeRefusesWhatItCannotConvert leaves everything as it was.
func TestUpgradeRefusesWhatItCannotConvert(t *testing.T) {
	w := newWorld(t)
	wk := w.workers[0]
	now, err := datapath.MapDir(w.bpffs, wk.name)
	wk.must(err)
	former := filepath.Join(filepath.Dir(filepath.Dir(now)), "v00000000")
	wk.must(os.MkdirAll(filepath.Join(former, bpf.MapDir), 0o700))
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 16, MaxEntries: 1,
		Key: &btf.Int{Name: "u32", Size: 4}, Value: &btf.Struct{Name: "oak_endpoint", Size: 16, Members: []btf.Member{
			{Name: "generation", Type: &btf.Array{Index: &btf.Int{Size: 4}, Type: &btf.Int{Name: "u64", Size: 8}, Nelems: 2}},
		}},
	})
	wk.must(err)
	defer m.Close()
	wk.must(m.Pin(filepath.Join(former, bpf.MapDir, "endpoints")))
	netnstest.Within(t, wk.ns, func() error {
		wk.must(wk.dp.Close())
		_, err := datapath.Open(t.Context(), wk.options)
		if err == nil {
			return errors.New("it was taken over")
		}
		if want := "convert map endpoints from the former layout: value: field generation"; !bytes.Contains([]byte(err.Error()), []byte(want)) {
			return fmt.Errorf("%w: want it to say %q", err, want)
		}
		return nil
	})
	if _, err := os.Stat(former); err != nil {
		t.Error("the former build's folder is gone:", err)
	}
	wk.must(os.RemoveAll(former))
	netnstest.Within(t, wk.ns, func() error {
		wk.dp, err = datapath.Open(t.Context(), wk.options)
		return err
	})
}
