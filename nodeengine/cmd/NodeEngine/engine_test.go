// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/localapi"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime/containerd/containerdtest"
)

// asProgram is the environment variable that makes this test program a NodeEngine, so that it can be killed.
const asProgram = "OAK_TEST_NODEENGINE"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cmdline.Main(command()))
	}
	os.Exit(m.Run())
}

// rig is a worker with a real containerd and broker, and scripted neighbours beside and above it.
type rig struct {
	t        *testing.T
	dir      string
	cluster  *cluster
	overlay  *overlay
	server   *containerdtest.Server
	client   *client.Client
	registry string
	image    string
	cmd      *exec.Cmd
	log      *bytes.Buffer
	socket   string   // of containerd, as NodeEngine is told it
	made     []string // ids of services
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, cluster: newCluster(t), server: containerdtest.Start(t), registry: containerdtest.Registry(t)}
	g.dir, g.socket = g.server.Dir, g.server.Socket
	g.client = g.server.Client(t)
	g.image = containerdtest.PushProbe(t, g.registry)
	g.overlay = newOverlay(t, g.dir)
	if err := os.WriteFile(filepath.Join(g.dir, "token"), []byte(g.cluster.token.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("NodeEngine's last log:\n%s", g.log)
		}
	})
	return g
}

func (g *rig) start() {
	g.t.Helper()
	host, port, _ := net.SplitHostPort(g.cluster.api.Listener.Addr().String())
	g.log = &bytes.Buffer{}
	cmd := exec.Command("/proc/self/exe", "-a", host, "-p", port, "--join-token-file", filepath.Join(g.dir, "token"),
		"--state-dir", filepath.Join(g.dir, "state"), "--run-dir", filepath.Join(g.dir, "run"), "--containerd", g.socket,
		"--netmanager", g.overlay.socket, "--insecure-registry", g.registry, "--name", "w1", "--stop-grace", "300ms")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr, cmd.Stdout = g.log, g.log
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.cmd = cmd
	g.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// end signals the program and returns how it ended and how long that took.
func (g *rig) end(sig syscall.Signal) (int, time.Duration) {
	g.t.Helper()
	began := time.Now()
	_ = g.cmd.Process.Signal(sig)
	_ = g.cmd.Wait()
	return g.cmd.ProcessState.ExitCode(), time.Since(began)
}

func (g *rig) eventually(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			g.cluster.mu.Lock()
			defer g.cluster.mu.Unlock()
			g.t.Fatalf("not in 20 s: %s; rows %+v", what, g.cluster.rows)
		}
	}
}

func (g *rig) await(in wire.DesiredInstance, s wire.State) wire.WorkerInstance {
	g.t.Helper()
	g.eventually(in.InstanceKey.String()+" is "+string(s), func() bool { return g.cluster.row(in.InstanceKey, in.Generation).State == s })
	return g.cluster.row(in.InstanceKey, in.Generation)
}

// pid returns the process of an instance, as containerd knows it; 0 if it does not run.
func (g *rig) pid(in wire.DesiredInstance) uint32 {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := g.client.LoadContainer(ctx, runtime.ID(in.InstanceKey, in.Generation))
	if err != nil {
		return 0
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		return 0
	}
	if s, err := task.Status(ctx); err != nil || s.Status != client.Running {
		return 0
	}
	return task.Pid()
}

func (g *rig) instance(cmd ...string) wire.DesiredInstance {
	if len(cmd) > 0 {
		cmd = append([]string{"/probe"}, cmd...)
	}
	id := pki.NewID()
	g.made = append(g.made, id)
	return wire.DesiredInstance{InstanceKey: wire.InstanceKey{ServiceID: id}, Generation: wire.Generation{Placement: 1, Move: 1},
		Spec: wire.InstanceSpec{JobName: "a.b.c.d", Runtime: "container", Image: g.image, Cmd: cmd, VCPUs: 1, MemoryMB: 64}}
}

func TestWorkerLife(t *testing.T) {
	g := newRig(t)
	g.start()
	g.eventually("joined and alive", func() bool { return g.cluster.lastAlive().Present })
	g.eventually("information with the overlay", func() bool {
		g.cluster.mu.Lock()
		defer g.cluster.mu.Unlock()
		return g.cluster.info.Overlay && g.cluster.info.Capacity.MemoryMB > 0 && g.cluster.info.Name == "w1"
	})

	stay, once := g.instance(), g.instance("exit", "0")
	once.Spec.OneShot = true
	began := time.Now()
	g.cluster.publish([]wire.DesiredInstance{stay, once})
	g.await(stay, wire.StateRunning)
	t.Logf("from desired to the cluster's knowing that it runs, with the image to be pulled: %s", time.Since(began).Round(time.Millisecond))
	g.await(once, wire.StateCompleted)
	pid := g.pid(stay)

	t.Run("killed and started, nothing restarts", func(t *testing.T) {
		session := g.cluster.lastAlive().Session
		g.end(syscall.SIGKILL)
		g.eventually("the will is out", func() bool { a := g.cluster.lastAlive(); return !a.Present && a.Session == session })
		if g.pid(stay) != pid {
			t.Fatal("the workload ended with NodeEngine")
		}
		g.start()
		g.eventually("a new session", func() bool { a := g.cluster.lastAlive(); return a.Present && a.Session > session })
		g.await(stay, wire.StateRunning)
		g.await(once, wire.StateCompleted)
		if g.pid(stay) != pid {
			t.Fatal("the workload was restarted")
		}
		if n := g.cluster.joined(); n != 2 { // one was refused
			t.Errorf("asked to join %d times", n)
		}
	})

	t.Run("ended while NodeEngine was away, restarted after", func(t *testing.T) {
		g.end(syscall.SIGKILL)
		if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		g.start()
		g.eventually("runs again", func() bool { p := g.pid(stay); return p != 0 && p != pid })
		g.eventually("restart is told", func() bool {
			r := g.cluster.row(stay.InstanceKey, stay.Generation)
			return r.State == wire.StateRunning && r.Restarts == 1 && strings.Contains(r.Detail, "code 137")
		})
		pid = g.pid(stay)
	})

	t.Run("broker restarts with nothing retained", func(t *testing.T) {
		session := g.cluster.lastAlive().Session
		_ = g.cluster.broker.Close()
		g.cluster.forget()
		g.cluster.startBroker(g.cluster.mqtt.String())
		g.eventually("a new session", func() bool { a := g.cluster.lastAlive(); return a.Present && a.Session > session })
		g.await(stay, wire.StateRunning)
		g.cluster.republish()
		g.await(stay, wire.StateRunning)
		if g.pid(stay) != pid {
			t.Fatal("the workload was restarted")
		}
	})

	t.Run("SIGTERM leaves workloads running", func(t *testing.T) {
		code, took := g.end(syscall.SIGTERM)
		if code != 0 || took > 3*time.Second || g.pid(stay) != pid {
			t.Fatalf("exit status %d after %s, process %d, was %d", code, took, g.pid(stay), pid)
		}
		if g.cluster.lastAlive().Present {
			t.Error("it did not say goodbye")
		}
	})

	t.Run("starts with cluster and NetManager away", func(t *testing.T) {
		_ = g.cluster.broker.Close()
		_ = g.overlay.srv.Close()
		ctx := t.Context()
		c, err := g.client.LoadContainer(ctx, runtime.ID(stay.InstanceKey, stay.Generation))
		if err != nil {
			t.Fatal(err)
		}
		task, err := c.Task(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = task.Delete(ctx, client.WithProcessKill) // as after a power cut
		g.start()
		g.eventually("waits for the overlay", func() bool {
			s, err := localapi.Get(ctx, localapi.Socket(filepath.Join(g.dir, "run")))
			return err == nil && len(s.Instances) == 2 && strings.Contains(detail(s, stay), "waits for the overlay")
		})
		g.overlay.start(t)
		g.eventually("runs with nobody above", func() bool { return g.pid(stay) != 0 })
		pid = g.pid(stay)
		g.cluster.startBroker(g.cluster.mqtt.String())
		g.cluster.republish()
		g.await(stay, wire.StateRunning)
	})

	t.Run("status", func(t *testing.T) {
		for _, args := range [][]string{{"status"}, {"status", "-o", "json"}} {
			cmd := exec.Command("/proc/self/exe", append(args, "--run-dir", filepath.Join(g.dir, "run"))...)
			cmd.Env = append(os.Environ(), asProgram+"=1")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), stay.ServiceID) || !strings.Contains(string(out), "RUNNING") {
				t.Errorf("%v: %v\n%s", args, err, out)
			}
			if len(args) > 1 && !json.Valid(out) {
				t.Errorf("not JSON: %s", out)
			}
		}
	})

	t.Run("another is refused", func(t *testing.T) {
		cmd := exec.Command("/proc/self/exe", "--state-dir", filepath.Join(g.dir, "state"), "--run-dir", filepath.Join(g.dir, "run2"))
		cmd.Env = append(os.Environ(), asProgram+"=1")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "another NodeEngine") {
			t.Errorf("%v: %s", err, out)
		}
	})

	t.Run("tombstones leave nothing", func(t *testing.T) {
		g.cluster.publish(nil, wire.Tombstone{InstanceKey: stay.InstanceKey, Generation: stay.Generation},
			wire.Tombstone{InstanceKey: once.InstanceKey, Generation: once.Generation})
		g.await(stay, wire.StateUndeployed)
		g.await(once, wire.StateUndeployed)
		g.eventually("addresses are given back", func() bool { return g.overlay.count() == 0 })
		left, err := g.client.Containers(t.Context())
		if err != nil || len(left) != 0 {
			t.Errorf("%d containers, %v", len(left), err)
		}
		for _, p := range []string{"run/netns/*", "run/containers/*", "state/logs/*.log*", "state/logs/times/*"} {
			if l, _ := filepath.Glob(filepath.Join(g.dir, p)); len(l) > 0 {
				t.Errorf("left: %v", l)
			}
		}
	})
	for _, f := range []string{"identity.json", "keys.json", "desired.json"} {
		if st, err := os.Stat(filepath.Join(g.dir, "state", f)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, st, err)
		}
	}
}

func detail(s localapi.Status, in wire.DesiredInstance) string {
	for _, i := range s.Instances {
		if i.InstanceKey == in.InstanceKey {
			return i.Detail
		}
	}
	return ""
}

func TestRefusedTokenIsFinal(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	stranger := c.token
	stranger.Secret = pki.NewSecret()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(stranger.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(c.api.Listener.Addr().String())
	cmd := command()
	cmd.SetArgs([]string{"-a", host, "-p", port, "--join-token-file", file, "--state-dir", dir, "--run-dir", dir})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "the token is spent") {
		t.Fatalf("%v", err)
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ flag, value, want string }{
		{"--log-level", "loud", "--log-level"}, {"--log-format", "xml", "--log-format"}, {"--name", "a b", "--name"},
		{"--location", "Munich", "--location"}, {"--when-cut-off", "panic", "--when-cut-off"},
		{"--cluster-port", "0", "--cluster-port"}, {"--stop-grace", "-1s", "--stop-grace"}, {"--join-token-file", "/none", "token create"},
	} {
		cmd := command()
		cmd.SetArgs([]string{"--state-dir", dir, "--run-dir", dir, c.flag, c.value})
		cmd.SetErr(&bytes.Buffer{})
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.flag, c.value, err)
		}
	}
}
