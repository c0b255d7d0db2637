// SPDX-License-Identifier: Apache-2.0

package root

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func workerID(n int) string { return fmt.Sprintf("%024x", n) }

// tell tells root of the cluster's overlay, under the next revision.
func (c *fakeCluster) tell(m wire.ClusterOverlay) wire.ClusterOverlayAck {
	c.s.t.Helper()
	c.revision++
	m.Header = wire.NewHeader(wire.Stamp{Epoch: 1, Revision: c.revision})
	var ack wire.ClusterOverlayAck
	require.Equal(c.s.t, 200, c.send(http.MethodPost, c.url(wire.PathClusterOverlay), m, &ack))
	return ack
}

func (c *fakeCluster) abroad(held string, wait time.Duration) *wire.ClusterAbroad {
	c.s.t.Helper()
	var m wire.ClusterAbroad
	require.Equal(c.s.t, 200, c.send(http.MethodGet, fmt.Sprintf("%s?held=%s&wait=%s", c.url(wire.PathClusterAbroad), held, wait), nil, &m))
	return &m
}

// worker is a worker of the cluster, in the n-th of its subnets.
func (c *fakeCluster) worker(id, n int) wire.NetPeer {
	b := c.desired(wire.Stamp{}, 0).Subnets[0]
	return wire.NetPeer{WorkerID: workerID(id), PublicKey: make([]byte, 32), Subnets: []netip.Prefix{b.V4[n], b.V6[n]},
		Outer: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:50103")}, Sources: []wire.NetSource{}}
}

func routeTo(w wire.NetPeer, number int, placement uint32) wire.RouteInstance {
	return wire.RouteInstance{Number: number, Generation: wire.Generation{Placement: placement, Move: 1}, Peer: w.WorkerID,
		NamespaceIP: w.Subnets[0].Addr().Next().Next(), Tag: 7, State: wire.StateRunning, InstanceIP: netip.MustParseAddr("10.30.200.200")}
}

// crossing are two clusters: a runs an instance of a service that a worker of b wants.
type crossing struct {
	a, b         *fakeCluster
	service      string
	address      netip.Addr
	runner, call wire.NetPeer
}

func (s *system) cross() *crossing {
	s.t.Helper()
	x := &crossing{a: s.joinWith("a", 1), b: s.join("b")}
	x.service = s.register(s.admin, "app", map[string]any{})
	s.deploy(x.service)
	var info struct {
		List []serviceIP `json:"service_ip_list"`
	}
	text, err := json.Marshal(s.ok(http.MethodGet, "/api/service/"+x.service, nil))
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(text, &info))
	x.address = info.List[0].Address
	x.runner, x.call = x.a.worker(1, 0), x.b.worker(2, 0)
	x.a.tell(wire.ClusterOverlay{Full: true})
	x.b.tell(wire.ClusterOverlay{Full: true})
	return x
}

func (x *crossing) want() {
	x.b.tell(wire.ClusterOverlay{Workers: []wire.NetPeer{x.call}, Wants: []wire.OverlayWant{{Address: x.address, Workers: []string{x.call.WorkerID}}}})
}

func (x *crossing) offer(routes ...wire.RouteInstance) {
	x.a.tell(wire.ClusterOverlay{Workers: []wire.NetPeer{x.runner}, Offers: []wire.OverlayOffer{{ServiceID: x.service, Instances: routes}}})
}

func TestRootPassesOnWhatClustersWantOfOneAnother(t *testing.T) {
	s := start(t)
	x := s.cross()
	require.Empty(t, x.b.abroad("", 0).Services)
	held := x.a.abroad("", 0)
	require.True(t, held.Full)

	// b wants: a is asked, and learns who.
	asked := make(chan *wire.ClusterAbroad, 1)
	go func() { asked <- x.a.abroad(held.Held, 10*time.Second) }()
	begin := time.Now()
	x.want()
	m := <-asked
	t.Logf("the other cluster hears after %s", time.Since(begin))
	require.Less(t, time.Since(begin), 4*time.Second, "by the hint, not by the poll")
	require.False(t, m.Full, "only what changed")
	require.Len(t, m.Services, 1)
	require.True(t, m.Services[0].Offer)
	require.Equal(t, []string{x.call.WorkerID}, m.Services[0].Callers)
	require.Equal(t, x.call, m.Workers[0])

	first := x.b.abroad("", 0)
	require.False(t, first.Services[0].Complete, "a has yet to tell of its instances")
	require.Equal(t, []wire.AbroadAnswer{{Address: x.address, ServiceID: x.service}}, first.Answers)
	x.offer(routeTo(x.runner, 0, 1))
	m = x.b.abroad(first.Held, 10*time.Second)
	require.True(t, m.Services[0].Complete)
	require.Equal(t, "app.test.svc0.test", m.Services[0].JobName)
	require.Len(t, m.Services[0].Instances, 1)
	require.Equal(t, x.runner.WorkerID, m.Services[0].Instances[0].Peer)
	require.Equal(t, s.instances(x.service)[0].InstanceIP, m.Services[0].Instances[0].InstanceIP, "root's word, not the cluster's")
	require.Empty(t, m.Answers, "which b holds")

	// A third cluster has nothing to do with it.
	c := s.join("c")
	require.Empty(t, c.abroad("", 0).Services)
	require.Empty(t, c.abroad("", 0).Workers)

	// b wants no more: nothing of it is left.
	x.b.tell(wire.ClusterOverlay{Gone: wire.OverlayGone{Wants: []netip.Addr{x.address}, Workers: []string{x.call.WorkerID}}})
	m = x.b.abroad(m.Held, 10*time.Second)
	require.Equal(t, []string{x.service}, m.Gone.Services)
	require.Equal(t, []netip.Addr{x.address}, m.Gone.Addresses)
}

func TestNamesOfOtherClustersResolve(t *testing.T) {
	s := start(t)
	x := s.cross()
	var organization string
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT organization_id FROM application`).Scan(&organization))
	known := wire.NameKey{Organization: organization, Name: "svc0.test.app.test.oak"}
	foreign := wire.NameKey{Organization: "other", Name: known.Name}
	x.b.tell(wire.ClusterOverlay{Names: []wire.NameKey{known, foreign, {Organization: "other", Name: "no name"}}})
	m := x.b.abroad("", 0)
	require.ElementsMatch(t, []wire.AbroadAnswer{{Name: known, ServiceID: x.service}, {Name: foreign}}, m.Answers)
	require.Len(t, m.Services, 1)
	require.NotEmpty(t, m.Services[0].Addresses)
	require.Len(t, m.Services[0].Instances, 1, "whose name resolves although nobody calls it")
}

// TestClusterCannotSpeakForAnother: what is not where root has put it is not passed on.
func TestClusterCannotSpeakForAnother(t *testing.T) {
	s := start(t)
	x := s.cross()
	x.want()
	stranger := s.join("stranger")
	stranger.tell(wire.ClusterOverlay{Full: true, Workers: []wire.NetPeer{stranger.worker(3, 0)},
		Offers: []wire.OverlayOffer{{ServiceID: x.service, Instances: []wire.RouteInstance{routeTo(stranger.worker(3, 0), 0, 1), routeTo(stranger.worker(3, 0), 0, 9)}}}})
	got := x.b.abroad("", 0).Services[0]
	require.Empty(t, got.Instances[0].Peer, "of a placement that was given to another, or to nobody")

	moved := x.runner
	moved.Subnets = x.call.Subnets
	x.a.tell(wire.ClusterOverlay{Workers: []wire.NetPeer{moved}, Offers: []wire.OverlayOffer{{ServiceID: x.service, Instances: []wire.RouteInstance{routeTo(moved, 0, 1)}}}})
	m := x.b.abroad("", 0)
	require.Empty(t, m.Services[0].Instances[0].Peer, "in a subnet of another cluster")
	require.Empty(t, m.Workers)

	liar := x.call
	liar.Sources = []wire.NetSource{{InstanceKey: wire.InstanceKey{ServiceID: x.service}, Generation: wire.Generation{Placement: 1, Move: 1},
		InstanceIP: s.instances(x.service)[0].InstanceIP, InstanceIPv6: s.instances(x.service)[0].InstanceIPv6}}
	x.b.tell(wire.ClusterOverlay{Workers: []wire.NetPeer{liar}})
	require.Empty(t, x.a.abroad("", 0).Workers[0].Sources, "of an instance that is a's")
}

// TestRootThatHasLostWhatItWasToldTakesNothingAway: in a new epoch nothing is complete until all have told everything again.
func TestRootThatHasLostWhatItWasToldTakesNothingAway(t *testing.T) {
	url := pgtest.New(t)
	s := startOn(t, url, semantic.DefaultRanges())
	x := s.cross()
	x.want()
	x.offer(routeTo(x.runner, 0, 1))
	require.True(t, x.b.abroad("", 0).Services[0].Complete)
	_, err := s.pool.Exec(t.Context(), `UPDATE epoch SET value = value + 1; DELETE FROM overlay_offer`)
	require.NoError(t, err)
	require.False(t, x.b.abroad("", 0).Services[0].Complete)
	require.True(t, x.a.tell(wire.ClusterOverlay{}).SendFull)
	x.a.tell(wire.ClusterOverlay{Full: true, Workers: []wire.NetPeer{x.runner}, Offers: []wire.OverlayOffer{{ServiceID: x.service}}})
	require.True(t, x.b.abroad("", 0).Services[0].Complete)
}
