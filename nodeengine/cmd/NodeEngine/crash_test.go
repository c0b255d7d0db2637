// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// killer kills NodeEngine after a call of its, counted from when it is armed.
type killer struct {
	*rig
	proxy *proxy
	at    int  // the call
	hit   bool // in this round
	total int
}

// during has something wished for and waits until NodeEngine was killed at the step, or all is done. It reports whether it was killed.
func (k *killer) during(what string, wish func(), done func() bool) bool {
	k.t.Helper()
	dead := make(chan struct{})
	k.proxy.arm(k.at, func() {
		_ = k.cmd.Process.Signal(syscall.SIGKILL)
		_, _ = k.cmd.Process.Wait()
		close(dead)
	})
	defer k.proxy.arm(0, nil)
	wish()
	killed := false
	k.eventually(what+", or killed", func() bool {
		select {
		case <-dead:
			killed = true
		default:
		}
		return killed || done()
	})
	if killed {
		k.hit = true
		k.total++
	}
	return killed
}

// told returns whether the cluster was told of a state.
func (k *killer) told(in wire.DesiredInstance, s wire.State) func() bool {
	return func() bool { return k.cluster.row(in.InstanceKey, in.Generation).State == s }
}

func list(in ...wire.DesiredInstance) []wire.DesiredInstance { return in }

func tomb(in wire.DesiredInstance) wire.Tombstone {
	return wire.Tombstone{InstanceKey: in.InstanceKey, Generation: in.Generation}
}

// TestKilledAtEveryStep kills NodeEngine after each call by which it changes something, in containerd or in the overlay, while it creates,
// replaces and stops an instance. Whatever the step, the next start ends in the same place: what is wanted runs once, and of the rest
// nothing is left.
func TestKilledAtEveryStep(t *testing.T) {
	g := newRig(t)
	k := &killer{rig: g, proxy: newProxy(t, filepath.Join(g.dir, "proxy.sock"), g.server.Socket)}
	g.socket = k.proxy.socket
	g.overlay.mu.Lock()
	g.overlay.changed = k.proxy.note
	g.overlay.mu.Unlock()
	g.start()
	g.eventually("joined and alive", func() bool { return g.cluster.lastAlive().Present })
	warm := g.instance() // has the image pulled
	g.cluster.publish(list(warm))
	g.await(warm, wire.StateRunning)
	g.gone(warm)
	for k.at = 1; ; k.at++ {
		k.hit = false
		k.life()
		k.forgotten()
		if !k.hit {
			t.Logf("killed %d times, at %d steps", k.total, k.at-1)
			if k.at < 10 {
				t.Fatalf("only %d steps: not all that is done is seen", k.at-1)
			}
			return
		}
		if k.at > 60 {
			t.Fatalf("still killed at step %d: %v", k.at, k.proxy.seen())
		}
	}
}

// life creates an instance, replaces it by a copy of a higher generation, and stops that, killed each time.
func (k *killer) life() {
	a := k.instance()
	b := a
	b.Generation.Placement++
	steps := []struct {
		what  string
		wish  func()
		done  func() bool
		after func()
	}{
		{"created", func() { k.cluster.publish(list(a)) }, k.told(a, wire.StateRunning), func() { k.await(a, wire.StateRunning); k.only(a) }},
		{"replaced", func() { k.cluster.publish(list(b), tomb(a)) }, func() bool { return k.told(b, wire.StateRunning)() && k.told(a, wire.StateUndeployed)() },
			func() { k.await(b, wire.StateRunning); k.await(a, wire.StateUndeployed); k.only(b) }},
		{"stopped", func() { k.cluster.publish(nil, tomb(b)) }, func() bool { return k.told(b, wire.StateUndeployed)() && k.overlay.count() == 0 },
			func() { k.await(b, wire.StateUndeployed); k.only() }},
	}
	for _, s := range steps {
		if k.during(s.what, s.wish, s.done) {
			k.start()
			k.cluster.republish()
		}
		s.after()
	}
}

// forgotten has NodeEngine killed while it creates, and finds when it is back that it was meant for somebody else, or for a later copy.
func (k *killer) forgotten() {
	a := k.instance()
	if k.during("created", func() { k.cluster.publish(list(a)) }, k.told(a, wire.StateRunning)) {
		k.start()
	}
	k.gone(a)
	b := k.instance()
	if !k.during("created", func() { k.cluster.publish(list(b)) }, k.told(b, wire.StateRunning)) {
		k.gone(b)
		return
	}
	c := b
	c.Generation.Move++
	k.cluster.publish(list(c), tomb(b))
	k.start()
	k.await(c, wire.StateRunning)
	k.await(b, wire.StateUndeployed)
	k.only(c)
	k.gone(c)
}

// gone has an instance stopped and waits until nothing of it is left.
func (g *rig) gone(in wire.DesiredInstance) {
	g.t.Helper()
	g.cluster.publish(nil, wire.Tombstone{InstanceKey: in.InstanceKey, Generation: in.Generation})
	g.await(in, wire.StateUndeployed)
	g.eventually("addresses are given back", func() bool { return g.overlay.count() == 0 })
	g.only()
}

// only checks that these instances run, and that of no other anything is left: container, process, file system, namespace, mount, cgroup,
// files, log, endpoint.
func (g *rig) only(in ...wire.DesiredInstance) {
	g.t.Helper()
	var want []string
	for _, i := range in {
		want = append(want, runtime.ID(i.InstanceKey, i.Generation))
	}
	slices.Sort(want)
	var last string
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		last = ""
		for what, have := range g.present() {
			slices.Sort(have)
			if !slices.Equal(slices.Compact(have), want) {
				last += fmt.Sprintf("%s: %v; ", what, have)
			}
		}
		if last == "" {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("wanted %v alone, there are %s", want, last)
		}
	}
}

// present lists by kind what there is of instances.
func (g *rig) present() map[string][]string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Second)
	defer cancel()
	all := map[string][]string{"containers": nil, "tasks": nil, "file systems": nil, "namespaces": nil, "mounts": nil, "cgroups": nil, "files": nil, "logs": nil,
		"endpoints": nil}
	add := func(what, id string) {
		if _, _, err := runtime.ParseID(id); err == nil {
			all[what] = append(all[what], id)
		}
	}
	list, err := g.client.Containers(ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, c := range list {
		add("containers", c.ID())
		if _, err := c.Task(ctx, nil); err == nil {
			add("tasks", c.ID())
		}
	}
	for _, name := range []string{"overlayfs", "native"} {
		_ = g.client.SnapshotService(name).Walk(ctx, func(_ context.Context, i snapshots.Info) error { add("file systems", i.Name); return nil })
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], filepath.Join(g.dir, "run/netns/")) {
			add("mounts", filepath.Base(f[1]))
		}
	}
	for what, pattern := range map[string]string{"namespaces": g.dir + "/run/netns/*", "files": g.dir + "/run/containers/*", "logs": g.dir + "/state/logs/*.log"} {
		found, _ := filepath.Glob(pattern)
		for _, f := range found {
			add(what, strings.TrimSuffix(filepath.Base(f), ".log"))
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/oakestra/*/*", "/sys/fs/cgroup/memory/oakestra/*/*"} {
		found, _ := filepath.Glob(pattern)
		for _, f := range found {
			if id := filepath.Base(f); g.knows(id) {
				add("cgroups", id)
			}
		}
	}
	g.overlay.mu.Lock()
	defer g.overlay.mu.Unlock()
	for key, e := range g.overlay.endpoints {
		add("endpoints", runtime.ID(key, e.Generation))
	}
	return all
}

// knows reports whether the id is of an instance of this test: others may run beside it.
func (g *rig) knows(id string) bool {
	key, _, err := runtime.ParseID(id)
	return err == nil && slices.Contains(g.made, key.ServiceID)
}
