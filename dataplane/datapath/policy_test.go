// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// offer gives a service that is served already another address, of another policy.
func (wk *worker) offer(service uint32, address netip.Addr, policy uint32) {
	wk.must(wk.dp.Maps().VIPs.Put(bpf.AddrFrom(address), bpf.VIP{Service: service, Policy: policy}))
}

// dial opens connections one after the other and returns who answered each of them. They stay open until hang is called.
func (b *box) dial(address netip.Addr, n int) (names []string, hang func(), err error) {
	var conns []net.Conn
	hang = func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	netnstest.Within(b.w.w.t, b.ns, func() error {
		buf := make([]byte, 128)
		for range n {
			var c net.Conn
			if c, err = net.DialTimeout(b.w.w.inner.tcp(), at(address, "80"), 2*time.Second); err != nil {
				return nil
			}
			conns = append(conns, c)
			_ = c.SetDeadline(time.Now().Add(2 * time.Second))
			var got int
			if got, err = c.Read(buf); err != nil {
				return nil
			}
			name, _, _ := strings.Cut(string(buf[:got]), " ")
			names = append(names, name)
		}
		return nil
	})
	return names, hang, err
}

func counted(names []string) map[string]int {
	got := map[string]int{}
	for _, n := range names {
		got[n]++
	}
	return got
}

// TestRoundRobinIsEvenInParallel opens 3,000 connections, eight at a time, to instances here and on the other worker.
func TestRoundRobinIsEvenInParallel(t *testing.T) { eachFamily(t, roundRobinInParallel) }

func roundRobinInParallel(t *testing.T, w *world) {
	const callers, each = 8, 375
	a, b := w.workers[0], w.workers[1]
	client := a.box()
	boxes := []*box{a.box(), b.box(), b.box()}
	for i, s := range boxes {
		s.listen(t, fmt.Sprint("s", i))
	}
	a.serve(1, w.inner.service(0), boxes...)
	b.admit(client)
	var mu sync.Mutex
	var all []string
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				names, hang, err := client.dial(w.inner.service(0), 1)
				hang()
				mu.Lock()
				all = append(all, names...)
				mu.Unlock()
				if err != nil {
					t.Errorf("dial: %v, drops %v %v", err, a.drops(), b.drops())
					return
				}
			}
		})
	}
	wg.Wait()
	for i := range boxes {
		if n := counted(all)[fmt.Sprint("s", i)]; n < 999 || n > 1001 {
			t.Errorf("instance %d got %d of %d connections, want 1,000 or one more or less", i, n, len(all))
		}
	}
}

// TestClosestStaysHere calls a service that runs here and elsewhere, and then one that runs elsewhere alone.
func TestClosestStaysHere(t *testing.T) { eachFamily(t, closestStaysHere) }

func closestStaysHere(t *testing.T, w *world) {
	a, b := w.workers[0], w.workers[1]
	client, here, far := a.box(), a.box(), b.box()
	here.listen(t, "here")
	far.listen(t, "far")
	a.serve(1, w.inner.service(0), far, here)
	a.offer(1, w.inner.service(1), bpf.PolicyClosest)
	b.admit(client)
	names, hang, err := client.dial(w.inner.service(1), 20)
	hang()
	if err != nil || counted(names)["here"] != 20 {
		t.Errorf("20 connections went to %v (%v), want all of them to the instance here", counted(names), err)
	}
	a.serve(1, w.inner.service(0), far)
	names, hang, err = client.dial(w.inner.service(1), 5)
	hang()
	if err != nil || counted(names)["far"] != 5 {
		t.Errorf("5 connections went to %v (%v), want all of them to the only instance left", counted(names), err)
	}
}

// TestUnderutilizedAvoidsTheBusy keeps connections open to one instance; new ones go to the others, evenly, until those have as many.
func TestUnderutilizedAvoidsTheBusy(t *testing.T) { eachFamily(t, underutilizedAvoidsTheBusy) }

func underutilizedAvoidsTheBusy(t *testing.T, w *world) {
	a, b := w.workers[0], w.workers[1]
	client, busy, idle, far := a.box(), a.box(), a.box(), b.box()
	busy.listen(t, "busy")
	idle.listen(t, "idle")
	far.listen(t, "far")
	a.serve(1, w.inner.service(0), busy, idle, far)
	a.offer(1, w.inner.service(1), bpf.PolicyUnderutilized)
	b.admit(client)
	_, hang, err := client.dial(busy.inst, 10)
	if err != nil {
		t.Fatal(err)
	}
	names, hangToo, err := client.dial(w.inner.service(1), 20)
	if got := counted(names); err != nil || got["busy"] != 0 || got["idle"] != 10 || got["far"] != 10 {
		t.Errorf("20 connections went to %v (%v), want ten to each of the two that had none", got, err)
	}
	names, hangLast, err := client.dial(w.inner.service(1), 9)
	if got := counted(names); err != nil || got["busy"] != 3 || got["idle"] != 3 || got["far"] != 3 {
		t.Errorf("9 connections went to %v (%v) once all had as many, want three to each", got, err)
	}
	hang()
	hangToo()
	hangLast()
}
