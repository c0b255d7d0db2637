// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
	"github.com/oakestra/oakestra-ebpf/tools/walk/device"
	"github.com/oakestra/oakestra-ebpf/tools/walk/hub"
)

// outside is the host that stands for the internet.
const outside = "outside"

// world is devices, a network between them, and an internet of which nothing but the sample application can be pulled.
type world struct {
	t       *testing.T // the one that runs, all the one that the world goes with
	all     *testing.T
	dir     string
	hub     *hub.Hub
	devices map[string]*device.Device
	hosts   []underlay.Host
}

// needDocker skips a test where what the pages ask for is not installed.
func needDocker(t *testing.T) {
	t.Helper()
	for _, p := range []struct{ program, debian string }{{"dockerd", "docker.io"}, {"docker-compose", "docker-compose"}, {"debootstrap", "debootstrap"},
		{"containerd", "containerd"}, {"iptables", "iptables"}, {"jq", "jq"}, {"curl", "curl"}} {
		if _, err := exec.LookPath(p.program); err != nil {
			t.Skipf("needs %s: of Debian's package %s, which make deps installs", p.program, p.debian)
		}
	}
}

// newWorld makes the network, the internet and devices, to which others can be added. All goes with the test.
func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	needDocker(t)
	w := &world{t: t, all: t, devices: map[string]*device.Device{}}
	var err error
	w.dir, err = os.MkdirTemp("", "oak-walk")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(w.dir, 0o755)) // users of containers pass here
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(w.dir)) })
	w.hosts = []underlay.Host{{Name: outside, Address: underlay.IPv4.Address(0, 53)}}
	release, err := testbed.Reserve(t.Context())
	require.NoError(t, err)
	t.Cleanup(release)
	t.Cleanup(func() { require.NoError(t, underlay.Delete()) })
	require.NoError(t, underlay.Create(underlay.IPv4, w.hosts))
	w.hub, err = hub.Start(t.Context(), outside, w.hosts[0].Address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.hub.Close()) })
	t.Cleanup(func() {
		w.explain()
		for _, d := range w.devices {
			require.NoError(t, d.End())
		}
	})
	for _, n := range names {
		w.add(n)
	}
	return w
}

// add makes a device.
func (w *world) add(name string) {
	t := w.t
	t.Helper()
	host := underlay.Host{Name: name, Address: underlay.IPv4.Address(0, byte(100+len(w.hosts)))}
	require.NoError(t, underlay.Add(underlay.IPv4, host))
	w.hosts = append(w.hosts, host)
	repository, err := blocks.Root()
	require.NoError(t, err)
	dir := filepath.Join(w.dir, name)
	require.NoError(t, os.Mkdir(dir, 0o755))
	d, err := device.Start(w.all.Context(), device.Options{Host: name, Dir: dir, Repository: repository, Authority: w.hub.Authority, Nameserver: w.hosts[0].Address.String()})
	require.NoError(t, err)
	w.devices[name] = d
}

// within runs a part of the walk as a test of its own.
func (w *world) within(t *testing.T, part func()) {
	before := w.t
	w.t = t
	defer func() { w.t = before }()
	part()
}

// address is that of a device.
func (w *world) address(name string) string {
	for _, h := range w.hosts {
		if h.Name == name {
			return h.Address.String()
		}
	}
	w.t.Fatalf("no device %s", name)
	return ""
}

// service starts a program on a device as its service manager would, and leaves it running.
func (w *world) service(name, program string, args ...string) {
	w.t.Helper()
	cmd, err := w.devices[name].Command(context.WithoutCancel(w.all.Context()), program, args...)
	require.NoError(w.t, err)
	log, err := os.Create(filepath.Join(w.dir, name, program+".log"))
	require.NoError(w.t, err)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(w.t, cmd.Start())
	_ = log.Close()
	go func() { _ = cmd.Wait() }() // it ends with the device
}

// boot starts what Debian starts on a device with containerd and Docker, and waits for it.
func (w *world) boot(name string, docker bool) {
	w.t.Helper()
	w.service(name, "containerd")
	w.on(name, 30*time.Second, "until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done")
	if docker {
		w.startDocker(name)
	}
}

// startDocker starts the Docker daemon, and waits for it.
func (w *world) startDocker(name string) {
	w.t.Helper()
	w.service(name, "dockerd", "-H", "unix:///run/docker.sock", "--containerd=/run/containerd/containerd.sock")
	w.on(name, 60*time.Second, "until docker version >/dev/null 2>&1; do sleep 0.1; done")
}

// on runs a script on a device and returns what it prints.
func (w *world) on(name string, within time.Duration, script string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	out, err := w.devices[name].Run(ctx, "bash", "-euo", "pipefail", "-c", script)
	require.NoError(w.t, err, script)
	return out
}

// terminal is where a user has logged in on a device, in the folder of the repository.
func (w *world) terminal(name string, fill map[string]string) *blocks.Terminal {
	w.t.Helper()
	prefix, err := w.devices[name].Prefix(device.Repository)
	require.NoError(w.t, err)
	log, err := os.OpenFile(filepath.Join(w.dir, name, "terminal.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(w.t, err)
	t, err := blocks.Shell{Prefix: prefix, Env: device.Environment(), Fill: fill, Within: 3 * time.Minute, Output: log}.Open()
	require.NoError(w.t, err)
	w.all.Cleanup(func() {
		_ = t.Close() // what it leaves ends with the device
		_ = log.Close()
	})
	return t
}

// typed fails the test where typing has failed.
func (w *world) typed(out string, err error) string {
	w.t.Helper()
	require.NoError(w.t, err)
	return out
}

// until waits for what a script on a device says to hold.
func (w *world) until(name string, within time.Duration, script string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	for {
		out, err := w.devices[name].Run(ctx, "bash", "-euo", "pipefail", "-c", script)
		if err == nil {
			return out
		}
		if ctx.Err() != nil {
			w.t.Fatalf("on %s, within %s: %v", name, within, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// explain shows what was logged, if the test has failed.
func (w *world) explain() {
	if !w.all.Failed() {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(w.dir, "*", "*.log"))
	for _, f := range logs {
		body, err := os.ReadFile(f)
		if err != nil || len(body) == 0 {
			continue
		}
		if len(body) > 6000 {
			body = body[len(body)-6000:]
		}
		w.all.Logf("--- %s\n%s", strings.TrimPrefix(f, w.dir), body)
	}
	for n, d := range w.devices {
		out, _ := d.Run(context.WithoutCancel(w.all.Context()), "bash", "-c",
			"docker ps -a; for c in $(docker ps -aq); do docker inspect -f '{{.Name}} {{json .State.Health}}' $c; docker logs --tail 25 $c; done; tail -n 40 /tmp/*.log; ps ax")
		w.all.Logf("--- %s now\n%s", n, out)
	}
}

// took logs how long something took.
func (w *world) took(what string, since time.Time) time.Duration {
	d := time.Since(since)
	w.t.Logf("%6.1f s  %s", d.Seconds(), what)
	return d
}
