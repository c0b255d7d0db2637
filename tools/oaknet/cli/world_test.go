// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

const (
	workerID  = "0123456789abcdef01234567"
	worker2ID = "111111111111111111111111"
	serviceA  = "aaaaaaaaaaaaaaaaaaaaaaaa"
	serviceB  = "bbbbbbbbbbbbbbbbbbbbbbbb"
)

// now is the moment at which every test reads the maps.
const now = 1000000 * time.Second

func testClock() (inspect.Clock, error) {
	return inspect.Clock{Monotonic: now, Boot: now, Wall: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}, nil
}

// ago is a time of the maps.
func ago(d time.Duration) uint64 { return uint64(now - d) }

// world is a BPF file system with the pins of workers whose maps the test fills, and a network namespace for their programs.
type world struct {
	t     *testing.T
	bpffs string
	ns    netns.NsHandle
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, bpffs: t.TempDir()}
	require.NoError(t, unix.Mount("bpf", w.bpffs, "bpf", 0, ""), "mount a BPF file system: the test needs root")
	t.Cleanup(func() { _ = unix.Unmount(w.bpffs, unix.MNT_DETACH) })
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is thrown away with its namespace
		var err error
		w.ns, err = netns.New()
		made <- err
	}()
	require.NoError(t, <-made)
	t.Cleanup(func() { _ = w.ns.Close() })
	return w
}

// within runs f on a thread of its own in the world's network namespace.
func (w *world) within(f func() error) {
	w.t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(w.ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	require.NoError(w.t, <-done)
}

// worker pins all maps of a worker and returns them with the programs.
func (w *world) worker(name string) (*bpf.Maps, *bpf.Programs) {
	w.t.Helper()
	version, err := bpf.Version()
	require.NoError(w.t, err)
	dir := filepath.Join(w.bpffs, "oakestra", name, "v"+version, bpf.MapDir)
	require.NoError(w.t, os.MkdirAll(dir, 0o700))
	progs, maps, err := bpf.Load(dir, bpf.Kernel{})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { progs.Close(); _ = maps.Close() })
	return maps, progs
}

// device makes an interface in the world's namespace and returns its number.
func (w *world) device(name string) (ifindex int) {
	w.t.Helper()
	w.within(func() error {
		d := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-far"}
		if err := netlink.LinkAdd(d); err != nil {
			return err
		}
		l, err := netlink.LinkByName(name)
		if err == nil {
			ifindex = l.Attrs().Index
		}
		return err
	})
	return ifindex
}

// attach hangs a program on an interface and pins the link as NetManager does.
func (w *world) attach(worker, kind string, ifindex int, prog *ebpf.Program, at ebpf.AttachType) {
	w.t.Helper()
	dir := filepath.Join(w.bpffs, "oakestra", worker, "links")
	require.NoError(w.t, os.MkdirAll(dir, 0o700))
	w.within(func() error {
		l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: prog, Attach: at})
		if err != nil {
			return err
		}
		defer l.Close()
		return l.Pin(filepath.Join(dir, kind+"-"+strconv.Itoa(ifindex)))
	})
}

// run runs oak-net in the world's namespace.
func (w *world) run(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	return w.runWith(nil, args...)
}

func (w *world) runWith(env map[string]string, args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	var out, errs bytes.Buffer
	w.within(func() error {
		code = Main(w.t.Context(), append([]string{"--bpffs", w.bpffs}, args...), Environment{
			Out: &out, Err: &errs, Getenv: func(name string) string { return env[name] }, Clock: testClock, Version: "v1",
		})
		return nil
	})
	return out.String(), errs.String(), code
}

func addr(s string) bpf.Addr { return bpf.AddrFrom(netip.MustParseAddr(s)) }

func addrs(v4 string) [2]bpf.Addr { return [2]bpf.Addr{bpf.V4: addr(v4)} }

func id(t *testing.T, s string) [12]byte {
	t.Helper()
	b, err := bpf.ParseID(s)
	require.NoError(t, err)
	return b
}

func gen(placement, move uint32) uint64 {
	return wire.Generation{Placement: placement, Move: move}.Packed()
}

// be is a port as maps hold it.
func be(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

// onCPUs spreads a value over the first and the last processor.
func onCPUs[T any](t *testing.T, first, last T) []T {
	t.Helper()
	n, err := ebpf.PossibleCPU()
	require.NoError(t, err)
	out := make([]T, max(n, 2))
	out[0], out[n-1] = first, last
	return out[:n]
}
