// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// owner returns what w1 was last told of the address, and the routes that go with it.
func answers(out []Message) (said map[netip.Addr]string, addresses map[string][]wire.ServiceAddress) {
	said, addresses = map[netip.Addr]string{}, map[string][]wire.ServiceAddress{}
	for _, m := range out {
		switch p := received(m).(type) {
		case wire.NetResolved:
			for _, e := range p.Entries {
				said[e.Address] = string(e.Resolution) + " " + e.ServiceID
			}
		case wire.NetRoutes:
			addresses[p.ServiceID] = p.Addresses
		}
	}
	return said, addresses
}

func named(id string, wanted bool, copies ...Copy) Service {
	return Service{ID: id, JobName: id, Wanted: wanted, Copies: copies,
		Addresses: []wire.ServiceAddress{{Policy: wire.PolicyRoundRobin, Address: svcIP}}}
}

// A service was deleted while the worker that runs it is lost, and deployed anew with the same address: the address is the new
// one's at once, although copies of the old one are left.
func TestRedeployedServiceGetsItsAddressAlthoughTheOldOneLingers(t *testing.T) {
	b := newBed(time.Time{})
	b.endpoints(1)
	old := at(2, 0, 1, wire.StateRunning)
	b.SetService(named("old", true, old))
	said, _ := answers(b.interest(1, wire.Stamp{}, want(svcIP)))
	require.Equal(t, "service old", said[svcIP])

	old.Stopping = true
	b.SetService(named("old", false, old))
	b.SetService(named("new", true))
	said, routes := answers(b.Flush(now))
	require.Equal(t, "service new", said[svcIP])
	require.Len(t, routes["new"], 1)

	b.SetService(named("old", false, old)) // news of the old one changes nothing
	b.RemoveService("old")
	said, _ = answers(b.Flush(now))
	require.NotContains(t, said, svcIP)
	b.RemoveService("new")
	said, _ = answers(b.Flush(now))
	require.Equal(t, "none ", said[svcIP])
}

// The successor comes while the old service is wanted still, as messages may cross: it gets the address when the old one goes.
func TestAddressPassesToWhoIsLeft(t *testing.T) {
	b := newBed(time.Time{})
	b.endpoints(1)
	b.SetService(named("old", true))
	b.interest(1, wire.Stamp{}, want(svcIP))
	b.SetService(named("new", true))
	b.Flush(now)
	b.RemoveService("old")
	said, routes := answers(b.Flush(now))
	require.Equal(t, "service new", said[svcIP])
	require.Len(t, routes["new"], 1)
}

// A worker that has an instance of its own invention adopted takes no address from a service that root has given it to, whichever
// came first, and lends its packets no other's source.
func TestAdoptedInstanceTakesNobodysAddress(t *testing.T) {
	b := newBed(time.Time{})
	b.endpoints(1)
	fake := at(3, 0, 1, wire.StateRunning)
	fake.InstanceIP = inst(7)
	b.SetService(named("fake", false, fake))
	e := ep(3, 0, 1)
	e.ServiceID = "fake"
	b.endpoints(3, e)
	b.interest(1, wire.Stamp{}, want(svcIP))
	b.Flush(now)
	real := at(2, 7, 1, wire.StateRunning)
	b.SetService(named("real", true, real))
	e = ep(2, 7, 1)
	e.ServiceID = "real"
	b.endpoints(2, e)
	said, routes := answers(b.Flush(now))
	require.Equal(t, "service real", said[svcIP])
	require.Len(t, routes["real"], 1)
	require.Empty(t, b.routes(b.workers["w1"], b.services["fake"]).Addresses)
	require.Empty(t, b.routes(b.workers["w1"], b.services["fake"]).Instances)
	require.Empty(t, b.sources(b.workers["w3"]))
	require.Len(t, b.sources(b.workers["w2"]), 1)
}
