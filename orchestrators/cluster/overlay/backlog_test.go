// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// manyBed is a plane with services that w3 wants all of, an instance of each on w1, and what it publishes.
type manyBed struct {
	*Plane
	out []Message
	rev uint64
}

func address(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 30, byte(100 + n>>8), byte(n)}) }

func (b *manyBed) put(n int, state wire.State) {
	b.Do(func(c *Core) []Message {
		c.SetService(Service{ID: fmt.Sprint("s", n), JobName: "a.b.c.d", Addresses: []wire.ServiceAddress{{Policy: wire.PolicyRoundRobin, Address: address(n)}},
			Copies: []Copy{{Number: 0, Generation: gen(1), Worker: "w1", State: state, InstanceIP: netip.AddrFrom4([4]byte{10, 31, byte(n >> 8), byte(n)})}}})
		return nil
	})
}

func newManyBed(t *testing.T, services int) *manyBed {
	b := &manyBed{}
	core := newBed(time.Time{})
	b.Plane = NewPlane(core.Core, func(m Message) int { b.out = append(b.out, m); return 1 }, func() {})
	b.core.spaced = false
	eps := wire.NetEndpoints{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: 1}), PublicKey: make([]byte, publicKeyLength)}
	core.SetWorker("w1", []netip.Prefix{netip.MustParsePrefix("10.18.0.0/16")})
	for n := range services {
		b.put(n, wire.StateRunning)
		eps.Endpoints = append(eps.Endpoints, wire.NetEndpoint{InstanceKey: wire.InstanceKey{ServiceID: fmt.Sprint("s", n)}, Generation: gen(1),
			NamespaceIP: netip.AddrFrom4([4]byte{10, 18, byte(1 + n>>8), byte(n)}), Tag: 1})
	}
	for n := range eps.Endpoints {
		if last := eps.Endpoints[n].NamespaceIP.As4()[3]; last == 0 || last == 255 {
			eps.Endpoints[n].NamespaceIP = netip.AddrFrom4([4]byte{10, 18, 200, byte(1 + n>>8)})
		}
	}
	b.Do(func(c *Core) []Message {
		_, refused := c.SetEndpoints("w1", eps, true)
		require.Empty(t, refused)
		return nil
	})
	b.settle(t)
	return b
}

// settle flushes until nothing is due, and looks that never too much comes at once.
func (b *manyBed) settle(t *testing.T) {
	for range 20 {
		before := len(b.out)
		_, more := b.flush()
		sent := map[string]int{}
		for _, m := range b.out[before:] {
			sent[m.Worker]++
		}
		require.LessOrEqual(t, sent["w3"], burst+2)
		if !more {
			return
		}
	}
	require.Fail(t, "there is more and more to say")
}

func (b *manyBed) want(worker string, services int) {
	b.rev++
	i := wire.NetInterest{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: b.rev}), PeerChanges: true, RouteChanges: true}
	for n := range services {
		i.Addresses = append(i.Addresses, want(address(n)))
	}
	b.Do(func(c *Core) []Message {
		out, _ := c.SetInterest(worker, i, time.Now())
		return out
	})
}

// Who wants very much is told all of it, bit by bit, and of each service what is true by then.
func TestWhoWantsMuchIsToldBitByBit(t *testing.T) {
	const services = 3 * burst
	b := newManyBed(t, services)
	b.out = nil
	b.want("w3", services)
	routes := 0
	for _, m := range b.out {
		if _, ok := received(m).(wire.NetRoutes); ok {
			routes++
		}
	}
	require.Equal(t, burst, routes)
	b.want("w2", 1)
	require.IsType(t, wire.NetResolved{}, received(b.out[len(b.out)-1]), "no other has to wait")
	for n := services - 10; n < services-5; n++ {
		b.put(n, wire.StateCreated)
	}
	b.Do(func(c *Core) []Message { c.RemoveService(fmt.Sprint("s", services-1)); return nil })
	b.settle(t)

	held := map[string]wire.NetRoutes{}
	for _, m := range b.out {
		r, ok := received(m).(wire.NetRoutes)
		if !ok || m.Worker != "w3" {
			continue
		}
		have := held[r.ServiceID]
		require.True(t, r.After(have.Stamp))
		if r.IsChange() {
			whole, ok := r.Apply(&have)
			require.True(t, ok, "nothing that was held back is missed")
			r = whole
		}
		held[r.ServiceID] = r
	}
	require.Len(t, held, services)
	for n := range services - 1 {
		state := wire.StateRunning
		if n >= services-10 && n < services-5 {
			state = wire.StateCreated
		}
		require.Equal(t, state, held[fmt.Sprint("s", n)].Instances[0].State, n)
	}
	require.True(t, held[fmt.Sprint("s", services-1)].Gone)
	require.Zero(t, b.later.len())
}
