// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// childVar has the test binary be a NetManager, so that it can be killed like one.
const childVar = "OAK_TEST_AGENT"

func TestMain(m *testing.M) {
	if network, ok := os.LookupEnv(echoVar); ok {
		if err := serveEchoes(network); err != nil {
			panic(err)
		}
		return
	}
	if _, ok := os.LookupEnv(versionVar); ok {
		version, err := bpf.Version()
		if err != nil {
			panic(err)
		}
		fmt.Print(version)
		return
	}
	config, ok := os.LookupEnv(childVar)
	if !ok {
		os.Exit(m.Run())
	}
	var cfg Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		panic(err)
	}
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1) //nolint:gocritic // the deferred call only restores signals
	}
}

// host is a worker's machine: a network namespace with an uplink, a BPF file system and disks.
type host struct {
	t   *testing.T
	ns  netns.NsHandle
	cfg Config

	exe string // this test's program if empty
	cmd *exec.Cmd
	out *bytes.Buffer
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "oak") // short, since a socket's path is
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bpffs := filepath.Join(dir, "bpf")
	require.NoError(t, os.Mkdir(bpffs, 0o700))
	require.NoError(t, unix.Mount("bpf", bpffs, "bpf", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(bpffs, unix.MNT_DETACH) })
	h := &host{t: t, ns: netnstest.New(t), out: &bytes.Buffer{}, cfg: Config{
		Name: "w", StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"), Socket: filepath.Join(dir, "s.sock"),
		BPFFS: bpffs, Version: "test",
	}}
	t.Cleanup(func() {
		h.kill()
		if t.Failed() {
			t.Logf("NetManager's log:\n%s", h.out)
		}
	})
	return h
}

// lonelyHost is a host whose uplink leads nowhere.
func lonelyHost(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	cable(t, h.ns, netnstest.New(t), inIPv4)
	return h
}

// cable joins two network namespaces by devices named up, with addresses of the families; of IPv4, if none is named.
func cable(t *testing.T, a, b netns.NsHandle, families ...family) {
	t.Helper()
	if len(families) == 0 {
		families = []family{inIPv4}
	}
	within(t, a, func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "up"
		require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "up", PeerNamespace: netlink.NsFd(int(b))}))
	})
	address(t, a, b, families...)
}

// address gives both ends of a cable their addresses, and sets them up.
func address(t *testing.T, a, b netns.NsHandle, families ...family) {
	t.Helper()
	for i, ns := range []netns.NsHandle{a, b} {
		within(t, ns, func() {
			for _, name := range []string{"lo", "up"} {
				l, err := netlink.LinkByName(name)
				require.NoError(t, err)
				require.NoError(t, netlink.LinkSetUp(l))
			}
			up, err := netlink.LinkByName("up")
			require.NoError(t, err)
			for _, f := range families {
				addr, err := netlink.ParseAddr(f.cable[i])
				require.NoError(t, err)
				addr.Flags = unix.IFA_F_NODAD // of no meaning to IPv4
				require.NoError(t, netlink.AddrAdd(up, addr))
			}
		})
	}
}

// within runs f in the namespace, on a thread of its own.
func within(t *testing.T, ns netns.NsHandle, f func()) {
	t.Helper()
	netnstest.Within(t, ns, func() error { f(); return nil })
}

func (h *host) within(f func()) { h.t.Helper(); within(h.t, h.ns, f) }

// container makes a network namespace with a path.
func container(t *testing.T, name string) (path string, ns netns.NsHandle) {
	t.Helper()
	ns = netnstest.New(t)
	return netnstest.Bind(t, ns, name), ns
}

// start starts NetManager in the host's network namespace and waits until it answers.
func (h *host) start() {
	h.t.Helper()
	h.launch()
	h.eventually("NetManager answers", func() bool {
		_, err := h.ask(http.MethodGet, "/healthz", nil, nil)
		return err == nil
	})
}

// launch starts NetManager likewise and does not wait.
func (h *host) launch() {
	h.t.Helper()
	config, err := json.Marshal(h.cfg)
	require.NoError(h.t, err)
	h.cmd = exec.Command(cmp.Or(h.exe, os.Args[0]))
	h.cmd.Env = append(os.Environ(), childVar+"="+string(config))
	h.cmd.Stdout, h.cmd.Stderr = h.out, h.out
	h.within(func() { err = h.cmd.Start() })
	require.NoError(h.t, err)
}

func (h *host) kill() {
	if h.cmd != nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
		h.cmd = nil
	}
}

// terminate ends NetManager as a service manager does, and wants exit status 0.
func (h *host) terminate() {
	h.t.Helper()
	require.NoError(h.t, h.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(h.t, h.cmd.Wait())
	h.cmd = nil
}

func (h *host) ask(method, path string, in, out any) (status int, err error) {
	body, err := json.Marshal(in)
	require.NoError(h.t, err)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", h.cfg.Socket) }}}
	req, err := http.NewRequest(method, "http://x"+path, bytes.NewReader(body))
	require.NoError(h.t, err)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if out != nil && resp.StatusCode < 300 {
		err = json.Unmarshal(data, out)
	} else if resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", resp.Status, data)
	}
	return resp.StatusCode, err
}

func (h *host) status() (s wire.LocalStatus) {
	_, err := h.ask(http.MethodGet, wire.PathLocalStatus, nil, &s)
	require.NoError(h.t, err)
	return s
}

func (h *host) eventually(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		require.True(h.t, time.Now().Before(end), "never: %s", what)
	}
}
