// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
)

// Where the NAT before worker A shows it, one after the other, and the observer.
var (
	publicA    = netip.MustParseAddrPort("198.51.100.1:40001")
	publicA2   = netip.MustParseAddrPort("198.51.100.1:40002")
	whereCloud = netip.MustParseAddrPort("203.0.113.1:10003")
)

func recordOf(t *testing.T, s *side, id string) *record {
	t.Helper()
	parsed, err := bpf.ParseID(id)
	require.NoError(t, err)
	p := s.byID[parsed]
	require.NotNil(t, p)
	return p
}

// takesFrom reports whether s takes packets from an address, and as whose.
func takesFrom(t *testing.T, s *side, a netip.AddrPort) uint32 {
	t.Helper()
	owner, _, err := s.cfg.Maps.PeerAddrs.Lookup(bpf.PeerAddr{Addr: bpf.AddrFrom(a.Addr()), Port: a.Port()})
	require.NoError(t, err)
	return owner
}

func TestANATIsFoundWhereAddressesDiffer(t *testing.T) {
	a, b := pair(t)
	meet(t, a, b, publicA, whereB)
	for _, s := range []struct {
		*side
		other string
		at    netip.AddrPort
	}{{a, idB, whereB}, {b, idA, publicA}} {
		p := recordOf(t, s.side, s.other)
		require.True(t, p.met())
		require.True(t, p.nat, "a NAT at either end counts for both")
		require.Equal(t, s.at, p.address())
		require.True(t, s.Peers()[0].NAT)
		require.Equal(t, whereA.Port(), p.kernel.Sport, "data would leave by a port that no NAT knows of")
		require.Equal(t, p.index, takesFrom(t, s.side, s.at))
	}
	require.Equal(t, []netip.AddrPort{publicA}, a.Public())
	require.Empty(t, b.Public(), "who is seen where it is has nothing to tell")

	// No NAT, no difference.
	a, b = pair(t)
	meet(t, a, b, whereA, whereB)
	require.False(t, recordOf(t, a, idB).nat)
	require.False(t, recordOf(t, b, idA).nat)
	require.Empty(t, a.Public())
	require.Zero(t, recordOf(t, a, idB).kernel.Sport, "flows are spread over ports where nothing forbids it")
}

// TestTwoWorkersMayShareAnAddress: behind one NAT they differ in their ports.
func TestTwoWorkersMayShareAnAddress(t *testing.T) {
	keyC := newKey(t)
	a, b := pair(t)
	c := newSide(t, newMaps(t), idC, keyC, 1, whereX)
	require.NoError(t, b.Apply(list(2, peerOf(idA, a.cfg.Key, publicA), peerOf(idC, keyC, publicA2))))
	require.NoError(t, c.Apply(list(1, peerOf(idB, b.cfg.Key, whereB))))
	meet(t, a, b, publicA, whereB)
	meet(t, c, b, publicA2, whereB)
	meet(t, a, b, publicA, whereB)
	for id, at := range map[string]netip.AddrPort{idA: publicA, idC: publicA2} {
		p := recordOf(t, b, id)
		require.True(t, p.met(), id)
		require.Equal(t, at, p.address())
		require.Equal(t, p.index, takesFrom(t, b, at))
	}
}

func TestNATsAreKeptOpen(t *testing.T) {
	for name, c := range map[string]struct {
		seen netip.AddrPort
		want time.Duration
	}{"no NAT": {whereA, refreshEvery}, "NAT": {publicA, refreshNATEvery}} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			meet(t, a, b, c.seen, whereB)
			for _, s := range []*side{a, b} {
				start := s.clock
				for len(s.tap.sent) == 0 && s.clock.Before(start.Add(time.Minute)) {
					s.clock = s.greetDue(s.clock)
				}
				require.Len(t, s.tap.take(t), 1)
				// The clock is one step further already: at the first retry.
				require.InDelta(t, float64(c.want), float64(s.clock.Sub(start)-firstRetry), float64(c.want)/10)
			}
		})
	}
}

// TestAMappingThatChangesIsFollowed: a NAT may give a worker another port whenever it likes.
func TestAMappingThatChangesIsFollowed(t *testing.T) {
	a, b := pair(t)
	meet(t, a, b, publicA, whereB)
	told := 0
	a.SubscribePublic(func() { told++ })

	a.clock = a.clock.Add(refreshNATEvery + time.Second)
	b.clock = a.clock
	meet(t, a, b, publicA2, whereB)
	require.Equal(t, publicA2, recordOf(t, b, idA).address())
	require.True(t, recordOf(t, b, idA).met())
	require.Equal(t, []netip.AddrPort{publicA2}, a.Public())
	require.Equal(t, 1, told)
	index, _ := b.Index(idA)
	require.Equal(t, index, takesFrom(t, b, publicA2))
}

// TestAChangeIsToldToAllAtOnce: what one peer's answer tells of this worker's NAT holds for the others, who would have found out only
// at the next greeting.
func TestAChangeIsToldToAllAtOnce(t *testing.T) {
	keyC := newKey(t)
	a, b := pair(t)
	c := newSide(t, newMaps(t), idC, keyC, 1, whereX)
	require.NoError(t, a.Apply(list(2, peerOf(idB, b.cfg.Key, whereB), peerOf(idC, keyC, whereX))))
	require.NoError(t, c.Apply(list(1, peerOf(idA, a.cfg.Key, publicA))))
	greetBoth := func(seen netip.AddrPort) {
		a.greetDue(a.clock)
		for range 8 {
			sent := a.tap.sent
			a.tap.sent = nil
			for _, p := range sent { // each gets its own
				body := helloIn(p)
				b.HandleHello(asEvent(body, seen, whereB))
				c.HandleHello(asEvent(body, seen, whereX))
			}
			if len(sent)+deliver(b, a, whereB, seen)+deliver(c, a, whereX, seen) == 0 {
				return
			}
		}
		t.Fatal("the greeting does not end")
	}
	greetBoth(publicA)
	require.True(t, recordOf(t, a, idB).met())
	require.True(t, recordOf(t, a, idC).met())
	require.Equal(t, publicA, recordOf(t, c, idA).address())

	// Only B is greeted, and sees the new address.
	recordOf(t, a, idB).greetNow()
	meet(t, a, b, publicA2, whereB)
	next := a.greetDue(a.clock)
	require.Equal(t, a.clock.Add(firstRetry), next, "the other peer is not greeted at once")
	require.Equal(t, idC, bpf.FormatID(a.tap.take(t)[0].Receiver))
}

func TestThePlaceThatAPeerKnowsOfIsPreferred(t *testing.T) {
	a, b := pair(t)
	meet(t, a, b, whereA, whereB)
	// B answers at the address of a port forwarding as well.
	p := recordOf(t, a, idB)
	a.greet(&p.conversation, true, whereX, true, a.clock)
	deliver(a, b, whereA, whereB)
	deliver(b, a, whereX, whereA)
	require.Equal(t, whereB, p.address())

	// Not if the first does not answer any more.
	a.clock = a.clock.Add(addressKept + time.Second)
	b.clock = a.clock
	a.greet(&p.conversation, true, whereX, true, a.clock)
	deliver(a, b, whereA, whereB)
	deliver(b, a, whereX, whereA)
	require.Equal(t, whereX, p.address())
	require.True(t, p.nat)
}

// cloud is an observer as the cluster is one.
type cloud struct {
	id       [12]byte
	key      []byte
	sequence uint64
}

func newCloud(t *testing.T, a *side, id string) (*cloud, Observer) {
	t.Helper()
	key := newKey(t)
	parsed, err := bpf.ParseID(id)
	require.NoError(t, err)
	pair, err := hello.PairKey(key, a.cfg.Key.PublicKey().Bytes(), parsed, a.id)
	require.NoError(t, err)
	return &cloud{id: parsed, key: pair}, Observer{ID: id, PublicKey: key.PublicKey().Bytes(), Outer: []netip.AddrPort{whereCloud}}
}

// answer answers the latest hello that a has sent, as one seen from an address.
func (c *cloud) answer(t *testing.T, a *side, seen netip.AddrPort) {
	t.Helper()
	sent := a.tap.take(t)
	require.NotEmpty(t, sent, "the observer is not asked")
	last := sent[len(sent)-1]
	require.Equal(t, c.id, last.Receiver)
	c.sequence++
	h := hello.Hello{Sender: c.id, Receiver: a.id, At: hello.Position{Start: 1, Sequence: c.sequence}, Quoted: last.At, Own: whereCloud, Observed: seen}
	a.HandleHello(asEvent(h.Encode(c.key), whereCloud, whereA))
}

func TestTheObserverTellsThePublicAddress(t *testing.T) {
	a := newSide(t, newMaps(t), idA, newKey(t), 1, whereA)
	told := 0
	a.SubscribePublic(func() { told++ })
	c, o := newCloud(t, a, idC)
	require.NoError(t, a.SetObserver(o))
	a.greetDue(a.clock)
	c.answer(t, a, publicA)
	require.Equal(t, []netip.AddrPort{publicA}, a.Public())
	require.Equal(t, 1, told)
	require.Empty(t, a.Peers(), "the observer is no peer")

	next := a.greetDue(a.clock)
	require.InDelta(t, float64(refreshNATEvery), float64(next.Sub(a.clock)), float64(refreshNATEvery)/10)
	a.clock = next
	a.greetDue(a.clock)
	c.answer(t, a, publicA2)
	require.Equal(t, []netip.AddrPort{publicA2}, a.Public())
	require.Equal(t, 2, told)

	// The same observer again, as with each message of the cluster's, changes nothing; a new one is asked at once.
	require.NoError(t, a.SetObserver(o))
	a.greetDue(a.clock)
	require.Empty(t, a.tap.take(t))
	c, o = newCloud(t, a, idB)
	require.NoError(t, a.SetObserver(o))
	require.Equal(t, []netip.AddrPort{publicA2}, a.Public(), "what was known is forgotten before there is anything better")
	a.greetDue(a.clock)
	c.answer(t, a, whereA)
	require.Empty(t, a.Public())
}

func TestTheObserverHasToQuoteUs(t *testing.T) {
	a := newSide(t, newMaps(t), idA, newKey(t), 1, whereA)
	c, o := newCloud(t, a, idC)
	require.NoError(t, a.SetObserver(o))
	a.greetDue(a.clock)
	asked := a.tap.take(t)
	require.Len(t, asked, 1)
	for name, h := range map[string]hello.Hello{
		"no quotation": {},
		"other start":  {Quoted: hello.Position{Start: 2, Sequence: asked[0].At.Sequence}},
		"unknown":      {Quoted: hello.Position{Start: 1, Sequence: 77}},
	} {
		c.sequence++
		h.Sender, h.Receiver, h.At, h.Observed = c.id, a.id, hello.Position{Start: 1, Sequence: c.sequence}, publicA
		a.HandleHello(asEvent(h.Encode(c.key), whereCloud, whereA))
		require.Empty(t, a.Public(), name)
	}
	require.Error(t, a.SetObserver(Observer{ID: "nonsense"}))
	require.Error(t, a.SetObserver(Observer{ID: idC, PublicKey: []byte("short")}))
}

// TestAnObserverThatReturnsIsGreetedOn: it may remember how far the worker had come, and takes nothing that is not beyond that.
func TestAnObserverThatReturnsIsGreetedOn(t *testing.T) {
	a := newSide(t, newMaps(t), idA, newKey(t), 1, whereA)
	_, o := newCloud(t, a, idC)
	var last hello.Position
	for range 3 {
		require.NoError(t, a.SetObserver(o))
		a.greetDue(a.clock)
		sent := a.tap.take(t)
		require.NotEmpty(t, sent)
		require.True(t, sent[0].At.After(last), "%v after %v", sent[0].At, last)
		last = sent[len(sent)-1].At
		require.NoError(t, a.SetObserver(Observer{}))
	}
}

// TestASilentObserverIsLeftInPeace: an older cluster does not answer, and nothing depends on it.
func TestASilentObserverIsLeftInPeace(t *testing.T) {
	a := newSide(t, newMaps(t), idA, newKey(t), 1, whereA)
	_, o := newCloud(t, a, idC)
	require.NoError(t, a.SetObserver(o))
	asked := 0
	for end := a.clock.Add(10 * time.Minute); a.clock.Before(end); {
		a.clock = a.greetDue(a.clock)
		asked += len(a.tap.take(t))
	}
	require.Greater(t, asked, 30)
	require.Less(t, asked, 60)
}

// TestFormerAddressesOfANATEnd: for a while packets are still taken from where a peer behind a NAT was before, and not for longer.
func TestFormerAddressesOfANATEnd(t *testing.T) {
	other := netip.MustParseAddrPort("198.51.100.2:40001") // the same NAT's second address
	a, b := pair(t)
	meet(t, a, b, publicA, whereB)
	a.clock = a.clock.Add(refreshNATEvery + time.Second)
	b.clock = a.clock
	meet(t, a, b, other, whereB)
	index, _ := b.Index(idA)
	require.Equal(t, index, takesFrom(t, b, other))
	require.Equal(t, index, takesFrom(t, b, publicA))
	b.clock = b.clock.Add(addressKept)
	b.reap()
	require.Equal(t, index, takesFrom(t, b, other))
	require.Zero(t, takesFrom(t, b, publicA))
}
