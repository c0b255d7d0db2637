// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// traces lists what this project has in the host's kernel.
func (h *host) traces() (out []string) {
	h.t.Helper()
	h.within(func() {
		links, err := netlink.LinkList()
		require.NoError(h.t, err)
		for _, l := range links {
			if strings.HasPrefix(l.Attrs().Name, "oak-") {
				out = append(out, l.Attrs().Name)
			}
		}
		if nft, err := exec.LookPath("nft"); err == nil {
			rules, err := exec.Command(nft, "list", "ruleset").CombinedOutput()
			require.NoError(h.t, err)
			if strings.Contains(string(rules), "oakestra") {
				out = append(out, string(rules))
			}
		}
	})
	pins, err := filepath.Glob(filepath.Join(datapath.WorkerDir(h.cfg.BPFFS, h.cfg.Name), "*"))
	require.NoError(h.t, err)
	if reserved := h.reservedPorts(); reserved != "" {
		out = append(out, "port "+reserved)
	}
	return append(out, pins...)
}

// routing is what the kernel says of forwarding, device by device.
func (h *host) routing() map[string]string {
	h.t.Helper()
	out := map[string]string{}
	h.within(func() {
		for _, pattern := range []string{"ipv4/conf/*/forwarding", "ipv6/conf/*/forwarding", "ipv6/conf/*/force_forwarding", "ipv6/conf/*/accept_ra"} {
			files, err := filepath.Glob("/proc/sys/net/" + pattern)
			require.NoError(h.t, err)
			for _, file := range files {
				text, err := os.ReadFile(file)
				require.NoError(h.t, err)
				out[file] = strings.TrimSpace(string(text))
			}
		}
	})
	return out
}

// freePort is a port of the host's loopback on which nothing listens.
func freePort(t *testing.T, h *host) (port uint16) {
	t.Helper()
	h.within(func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port = netip.MustParseAddrPort(l.Addr().String()).Port()
		require.NoError(t, l.Close())
	})
	return port
}

func TestUninstallLeavesNothing(t *testing.T) {
	nft := program(t, "nft", "nftables")
	h, c := newHost(t), newCluster(t, workerID)
	cable(t, h.ns, netnstest.New(t))
	h.in(dockersRules, nft, "-f", "-")
	h.within(func() {
		require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ip_local_reserved_ports", []byte("22"), 0))
	})
	c.serve(h)
	c.publish(wire.TopicNetNode, c.node(subnet), true)
	routing := h.routing()
	require.NotEmpty(t, routing)
	h.cfg.Port = freePort(t, h)
	h.start()
	_, err := h.ask(http.MethodPut, wire.PathLocalIdentity, c.identity(), nil)
	require.NoError(t, err)
	h.eventually("it is ready", func() bool { return h.status().Ready })
	path, _ := container(t, "a")
	want := attachRequest(0, path)
	want.Ports = []wire.Port{{Host: 8080, Container: 80, Protocol: wire.ProtocolTCP}}
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, want, nil)
	require.NoError(t, err)
	require.Equal(t, "22,8080", h.reservedPorts())
	uninstall := func() (err error) {
		h.within(func() { err = Uninstall(t.Context(), h.cfg) })
		return err
	}
	require.ErrorIs(t, uninstall(), ErrContainers)
	h.kill()
	require.ErrorIs(t, uninstall(), ErrContainers)
	h.within(func() {
		links, err := netlink.LinkList()
		require.NoError(t, err)
		for _, l := range links {
			if strings.HasPrefix(l.Attrs().Name, "oak-c") {
				require.NoError(t, netlink.LinkDel(l))
			}
		}
	})
	require.Greater(t, len(h.traces()), 5)
	require.NotEqual(t, routing, h.routing(), "the uplink routes now")
	require.NoError(t, uninstall())
	require.Equal(t, routing, h.routing(), "as it was found")
	require.NoDirExists(t, h.cfg.RunDir)
	require.NoFileExists(t, h.cfg.Socket)
	require.NoDirExists(t, filepath.Join(h.cfg.BPFFS, "oakestra"))
	require.Equal(t, []string{"port 22"}, h.traces(), "what is others' stays")
	require.Contains(t, h.in("", nft, "list", "ruleset"), "DOCKER-USER")
	require.NoError(t, uninstall(), "nothing is left to do")
	h.start()
	h.eventually("it is ready again, the same worker", func() bool { return h.status().Ready })
	require.Equal(t, workerID, h.status().WorkerID)
	require.ErrorIs(t, uninstall(), datapath.ErrRunning)
}
