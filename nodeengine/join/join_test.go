// SPDX-License-Identifier: Apache-2.0

package join

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestKeysAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	first, err := loadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadKeys(dir)
	if err != nil || again != first || first.Key == first.NetKey || first.Key == "" {
		t.Fatalf("second attempt has other keys, or both programs the same: %v", err)
	}
	if st, err := os.Stat(keysPath(dir)); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no identity: %v", err)
	}
	good := Identity{Format: wire.Format, WorkerID: pki.NewID(), Brokers: []string{"a:1"}}
	for want, id := range map[string]Identity{
		"":           good,
		"newer":      {Format: wire.Format + 1, WorkerID: good.WorkerID, Brokers: good.Brokers},
		"incomplete": {Format: wire.Format, WorkerID: good.WorkerID},
	} {
		if err := statefile.Write(identityPath(dir), id); err != nil {
			t.Fatal(err)
		}
		_, err := Load(dir)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestFillHosts(t *testing.T) {
	got, err := fillHosts([]string{":10003", "b:1", "[::1]:2"}, "fd00::1", 0)
	if err != nil || !reflect.DeepEqual(got, []string{"[fd00::1]:10003", "b:1", "[::1]:2"}) {
		t.Fatalf("%v %v", got, err)
	}
	for _, bad := range [][]string{nil, {"x"}} {
		if _, err := fillHosts(bad, "h", 0); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestMissingOrBrokenTokenSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	o := Options{Host: "127.0.0.1", Port: 1, TokenFile: file, StateDir: dir, Log: slog.New(slog.DiscardHandler)}
	if _, err := Join(t.Context(), o); err == nil || !strings.Contains(err.Error(), "token create") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(t.Context(), o); err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("%v", err)
	}
}

func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"detail":"x"}`))
	f.Add([]byte("\xff{"))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = problem(data) })
}

// TestRoutes looks at a namespace with a route of each kind.
func TestRoutes(t *testing.T) {
	done := make(chan error, 1)
	var got []string
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends in the namespace
		done <- func() error {
			ns, err := netns.New()
			if err != nil {
				return err
			}
			defer func() { _ = ns.Close() }()
			for name, subnet := range map[string]string{"eth0": "192.0.2.1/24", "oak-host": "10.18.0.1/26"} {
				attrs := netlink.NewLinkAttrs()
				attrs.Name = name
				l := &netlink.Veth{LinkAttrs: attrs, PeerName: name + "-b"}
				if err := netlink.LinkAdd(l); err != nil {
					return err
				}
				if peer, err := netlink.LinkByName(name + "-b"); err != nil || netlink.LinkSetUp(peer) != nil {
					return errors.New("set the veth's other end up")
				}
				addr, err := netlink.ParseAddr(subnet)
				if err != nil {
					return err
				}
				if err := errors.Join(netlink.AddrAdd(l, addr), netlink.LinkSetUp(l)); err != nil {
					return err
				}
			}
			eth, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			for _, dst := range []string{"0.0.0.0/0", "10.0.0.0/8"} {
				_, n, _ := net.ParseCIDR(dst)
				if err := netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Dst: n, Gw: net.ParseIP("192.0.2.9")}); err != nil {
					return err
				}
			}
			got, err = Routes()
			return err
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if want := []string{"10.0.0.0/8", "192.0.2.0/24"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
