// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// dockersRules are what a daemon of Docker makes of a host that did not forward before, without its bridges.
const dockersRules = `
table ip filter {
	chain DOCKER-USER { counter return; }
	chain FORWARD { type filter hook forward priority filter; policy drop;
		counter jump DOCKER-USER
		oifname "docker0" ct state established,related counter accept
		iifname "docker0" oifname != "docker0" counter accept
	}
}`

// program returns the path of a program, or skips the test, saying where there is one.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs the program %s, of Debian's package %s", name, debian)
	}
	return path
}

// in runs a command in the host's network namespace.
func (h *host) in(stdin, path string, args ...string) string {
	h.t.Helper()
	var out []byte
	var err error
	h.within(func() {
		cmd := exec.Command(path, args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err = cmd.CombinedOutput()
	})
	require.NoError(h.t, err, "%s", out)
	return string(out)
}

// besideDocker has a container reach the outside and be reached at an exposed port, from outside and from its host, on a host that
// Docker's rules, which prepare makes, let forward nothing.
func besideDocker(t *testing.T, prepare func(h *host)) {
	h, c := newHost(t), newCluster(t, workerID)
	outside := netnstest.New(t)
	cable(t, h.ns, outside)
	h.cfg.Uplink = "up" // Docker's bridge could be it, too
	prepare(h)
	c.serve(h)
	c.publish(wire.TopicNetNode, c.node(subnet), true)
	h.start()
	_, err := h.ask(http.MethodPut, wire.PathLocalIdentity, c.identity(), nil)
	require.NoError(t, err)
	h.eventually("it is ready", func() bool { return h.status().Ready })
	path, ns := container(t, "a")
	request := attachRequest(0, path)
	request.Ports = []wire.Port{{Host: 8080, Container: 80, Protocol: wire.ProtocolTCP}}
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, request, nil)
	require.NoError(t, err)

	listen := func(in func(func())) (l net.Listener) {
		in(func() { l, err = net.Listen("tcp4", ":80") })
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	inside := func(f func()) { within(t, ns, f) }
	l := listen(func(f func()) { within(t, outside, f) })
	require.Equal(t, "192.0.2.1", exchange(t, inside, l, "192.0.2.2:80"), "the outside sees the host")
	server := listen(inside)
	require.Equal(t, "192.0.2.1", exchange(t, h.within, server, "192.0.2.1:8080"))
	require.Equal(t, "192.0.2.2", exchange(t, func(f func()) { within(t, outside, f) }, server, "192.0.2.1:8080"), "the outside keeps its address")
}

func TestContainersReachTheOutsideBesideDockersRules(t *testing.T) {
	nft := program(t, "nft", "nftables")
	besideDocker(t, func(h *host) { h.in(dockersRules, nft, "-f", "-") })
}

func TestContainersReachTheOutsideBesideADockerDaemon(t *testing.T) {
	dockerd, nft := program(t, "dockerd", "docker.io"), program(t, "nft", "nftables")
	program(t, "iptables", "iptables")
	program(t, "containerd", "containerd")
	besideDocker(t, func(h *host) {
		// Docker forbids forwarding where it was not allowed before; the namespace has it from the machine, which may have a Docker itself.
		h.in("", "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
		startDocker(t, h, dockerd)
		require.Contains(t, h.in("", nft, "list", "chain", "ip", "filter", "FORWARD"), "policy drop", "Docker forbids forwarding")
	})
}

// startDocker starts a daemon in the host's network namespace, all of its files in a folder of the test's, and waits for its rules.
func startDocker(t *testing.T, h *host, dockerd string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "oak-docker")
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = unix.Unmount(filepath.Join(dir, "data"), unix.MNT_DETACH) // which a daemon that is broken off leaves mounted on itself
		_ = os.RemoveAll(dir)
	})
	config := filepath.Join(dir, "daemon.json")
	require.NoError(t, os.WriteFile(config, []byte("{}"), 0o600))
	socket := filepath.Join(dir, "s")
	var out bytes.Buffer
	cmd := exec.Command(dockerd, "--config-file", config, "--host", "unix://"+socket, "--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "run"), "--pidfile", filepath.Join(dir, "pid"), "--storage-driver", "vfs")
	cmd.Stdout, cmd.Stderr = &out, &out
	h.within(func() { err = cmd.Start() })
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it ends its containerd
		ended := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		ended.Stop()
		if t.Failed() {
			t.Logf("dockerd's log:\n%s", &out)
		}
	})
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := client.Get("http://docker/_ping"); err == nil { // answered once all is set up
			_ = resp.Body.Close()
			return
		}
		require.True(t, time.Now().Before(end), "dockerd never answered")
	}
}
