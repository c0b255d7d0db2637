// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

// takeOver is how long a standby may take until it has taken over.
const takeOver = 5 * time.Second

// TestStandby has the active one of two cluster orchestrators killed and the next one stopped, beside two root orchestrators. The other one takes over, nothing that runs moves and no call fails. Logs and commands find their way through either root
// and whichever orchestrator is active.
func TestStandby(t *testing.T) {
	s := raiseWith(t, 2, ipv4, func(o *testbed.Options) { o.Roots, o.Broker, o.Standby = 2, testbed.BrokerMosquitto, true })
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Testbed.Image(t.Context(), "console", filepath.Join(dir, "images", "console"), []string{"/console"}); err != nil {
		t.Fatal(err)
	}
	application(t, s, "hello.json")
	application(t, s, "console.json")
	deploy(t, s, "client", 1)
	deploy(t, s, "server", 3)
	deploy(t, s, "talk", 1)
	reaches(t, s, service(t, s, "server"), 3)
	b := &standbys{s: s, talk: service(t, s, "talk"), roots: map[string]*client.Client{"root": s.API, "root2": loginAt(t, s, "root2")}}
	b.streams(t)

	// The load covers what follows; it is told to end there.
	load, ended := b.load(t)
	before := tasks(t, s)
	b.lose(t, "c1", "c1s", testbed.Kill, testbed.Restart)
	b.lose(t, "c1s", "c1", testbed.Stop, testbed.Cont)
	// Who was deposed while it was stopped ends by itself, and is started again as a service manager would.
	until(t, 10*time.Second, func(context.Context) error {
		if alive(t, "cluster-orchestrator@c1s") {
			return errors.New("the deposed orchestrator goes on")
		}
		return nil
	})
	fault(t, testbed.Restart, "cluster-orchestrator@c1s")
	sameTasks(t, s, before)
	load()
	ended()
	b.rootLost(t, "root", "root2")
	b.rootLost(t, "root2", "root")
	sameTasks(t, s, before)
}

type standbys struct {
	s     *scene.Scene
	talk  *client.Service
	roots map[string]*client.Client
}

// lose takes the active orchestrator away, waits for the other, and gives the first one back. An instance that is wanted meanwhile starts.
func (b *standbys) lose(t *testing.T, active, standby string, take, give func(context.Context, string) error) {
	t.Helper()
	if b.ready(active) != nil || b.ready(standby) == nil {
		t.Fatalf("%s is to be active: %v; %s to wait: %v", active, b.ready(active), standby, b.ready(standby))
	}
	fault(t, take, "cluster-orchestrator@"+active)
	begin := time.Now()
	until(t, 4*takeOver, func(context.Context) error { return b.ready(standby) })
	took := time.Since(begin)
	t.Logf("%s has taken over from %s after %s", standby, active, took.Round(time.Millisecond))
	if took > takeOver {
		t.Errorf("%s took over after %s, want at most %s", standby, took, takeOver)
	}
	b.comeAndGo(t)
	b.streams(t)
	fault(t, give, "cluster-orchestrator@"+active)
	b.comeAndGo(t)
}

// comeAndGo has an instance start, and stop.
func (b *standbys) comeAndGo(t *testing.T) {
	t.Helper()
	if err := b.s.API.AddInstance(t.Context(), b.talk.ID); err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, b.s, "talk", 2)
	for _, i := range service(t, b.s, "talk").Instances {
		if i.Number == b.talk.Instances[0].Number {
			continue
		}
		if err := b.s.API.RemoveInstance(t.Context(), b.talk.ID, i.Number); err != nil {
			t.Fatal(err)
		}
	}
	awaitRunning(t, b.s, "talk", 1)
}

// ready asks an orchestrator whether it is the active one.
func (b *standbys) ready(host string) error {
	h, err := b.s.Testbed.Host(host)
	if err != nil {
		return err
	}
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + net.JoinHostPort(h.Address, "10100") + "/readyz")
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", host, resp.Status)
	}
	return nil
}

func alive(t *testing.T, component string) bool {
	t.Helper()
	all, err := testbed.Components()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.String() == component {
			return c.Process.State() != proc.Dead
		}
	}
	t.Fatalf("there is no component %s", component)
	return false
}

// streams runs a command and reads a log through each root.
func (b *standbys) streams(t *testing.T) {
	t.Helper()
	for name, api := range b.roots {
		b.streamsBy(t, name, api)
	}
}

func (b *standbys) streamsBy(t *testing.T, name string, api *client.Client) {
	t.Helper()
	number := b.talk.Instances[0].Number
	// Requests may be under way to an orchestrator that has just gone: who asks again is answered.
	until(t, 15*time.Second, func(ctx context.Context) error {
		var out, log bytes.Buffer
		if _, err := api.Exec(ctx, b.talk.ID, number, client.ExecOptions{Command: []string{"/console", "exit", "0", name}, Stdout: &out, Stderr: &log}); err != nil {
			return fmt.Errorf("command through %s: %w", name, err)
		}
		if out.String() != name+"\n" {
			return fmt.Errorf("command through %s says %q", name, out.String())
		}
		out.Reset()
		if err := api.Logs(ctx, b.talk.ID, number, client.LogOptions{Tail: 5}, &out, &log, nil); err != nil {
			return fmt.Errorf("log through %s: %w", name, err)
		}
		if n := strings.Count(out.String(), "\n"); n != 5 {
			return fmt.Errorf("log through %s has %d lines: %q", name, n, out.String())
		}
		return nil
	})
}

// rootLost has one root killed: the other goes on with requests and streams, and the first one serves again when it is back.
func (b *standbys) rootLost(t *testing.T, gone, left string) {
	t.Helper()
	fault(t, testbed.Kill, "root-orchestrator@"+gone)
	api := b.roots[left]
	for range 4 {
		if _, err := api.Service(t.Context(), b.talk.ID); err != nil {
			t.Fatalf("%s without %s: %v", left, gone, err)
		}
	}
	b.streamsBy(t, left, api)
	fault(t, testbed.Restart, "root-orchestrator@"+gone)
	b.streams(t)
}

// load has the client call the server until stop is called; ended checks what it has seen.
func (b *standbys) load(t *testing.T) (stop, ended func()) {
	t.Helper()
	c, err := b.s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v := service(t, b.s, "server")
	var r hello.GetReport
	enough, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			var one hello.GetReport
			if err := b.s.Call(t.Context(), c, &one, "rate", scene.URL(v.RoundRobin), "-per-second", "50", "-seconds", "3"); err != nil {
				done <- err
				return
			}
			r.Requests, r.Failed, r.Errors = r.Requests+one.Requests, r.Failed+one.Failed, append(r.Errors, one.Errors...)
			select {
			case <-enough:
				done <- nil
				return
			default:
			}
		}
	}()
	return func() { close(enough) }, func() {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		t.Logf("%d calls meanwhile", r.Requests)
		if r.Failed > 0 || r.Requests == 0 {
			t.Errorf("%d of %d calls failed: %v", r.Failed, r.Requests, r.Errors)
		}
	}
}
