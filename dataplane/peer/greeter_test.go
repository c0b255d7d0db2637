// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"crypto/ecdh"
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const (
	idA = "aaaaaaaaaaaaaaaaaaaaaaaa"
	idB = "bbbbbbbbbbbbbbbbbbbbbbbb"
	idC = "cccccccccccccccccccccccc"
)

var (
	whereA = netip.MustParseAddrPort("192.0.2.1:50103")
	whereB = netip.MustParseAddrPort("192.0.2.2:50103")
	whereX = netip.MustParseAddrPort("192.0.2.66:50103")
)

// wireTap is a sender that keeps what is sent: echo requests apart.
type wireTap struct{ sent, echoes [][]byte }

func (w *wireTap) send(p []byte, to netip.Addr) error {
	header := ip6Len
	if to.Is4() {
		header = ip4Len
	}
	if p[header+udpLen+3] == 0xfd {
		w.echoes = append(w.echoes, p)
	} else {
		w.sent = append(w.sent, p)
	}
	return nil
}

func (w *wireTap) close() error { return nil }

// take returns what was sent since the last call.
func (w *wireTap) take(t *testing.T) []hello.Hello {
	t.Helper()
	var out []hello.Hello
	for _, p := range w.sent {
		body, err := hello.Untunneled(p[ip4Len+udpLen:])
		require.NoError(t, err)
		h, err := hello.Decode(body)
		require.NoError(t, err)
		out = append(out, h)
	}
	w.sent = nil
	return out
}

func newKey(t testing.TB) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	return key
}

// helloIn is the hello in a packet.
func helloIn(p []byte) []byte {
	if p[0]>>4 == 4 {
		return p[ip4Len+udpLen+hello.TunnelLen:]
	}
	return p[ip6Len+udpLen+hello.TunnelLen:]
}

type side struct {
	*Greeter
	tap   *wireTap
	clock time.Time
}

func newMaps(t *testing.T) *bpf.Maps {
	t.Helper()
	maps, err := bpf.NewMaps()
	require.NoError(t, err)
	t.Cleanup(func() { _ = maps.Close() })
	return maps
}

func newSide(t *testing.T, maps *bpf.Maps, id string, key *ecdh.PrivateKey, start uint64, where netip.AddrPort) *side {
	t.Helper()
	g, err := New(Config{
		Maps: maps, WorkerID: id, Key: key, Start: start, Port: where.Port(),
		Uplink: func() Uplink { return Uplink{Ifindex: 7, IPv4: where.Addr(), MTU: 1500} },
	})
	require.NoError(t, err)
	require.NoError(t, g.Close())
	s := &side{Greeter: g, tap: &wireTap{}, clock: time.Unix(1000, 0)}
	g.socket = s.tap
	g.now = func() time.Time { return s.clock }
	g.mono = func() time.Duration { return time.Duration(s.clock.UnixNano()) }
	g.lookAtUplink()
	return s
}

func peerOf(id string, key *ecdh.PrivateKey, outer ...netip.AddrPort) wire.NetPeer {
	return wire.NetPeer{WorkerID: id, PublicKey: key.PublicKey().Bytes(), Outer: outer}
}

func list(revision uint64, peers ...wire.NetPeer) wire.NetPeers {
	return wire.NetPeers{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: revision}), Peers: peers}
}

func asEvent(body []byte, from, to netip.AddrPort) bpf.Hello {
	e := bpf.Hello{Src: bpf.AddrFrom(from.Addr()), Dst: bpf.AddrFrom(to.Addr()), Sport: from.Port(), Len: uint16(len(body)), Ifindex: 9}
	copy(e.Data[:], body)
	return e
}

// deliver hands everything that a has sent to b, and returns how many packets that were.
func deliver(a, b *side, from, to netip.AddrPort) int {
	sent := a.tap.sent
	a.tap.sent = nil
	for _, p := range sent {
		b.HandleHello(asEvent(helloIn(p), from, to))
	}
	return len(sent)
}

// pair is two workers that know of each other and have not met.
func pair(t *testing.T) (a, b *side) {
	t.Helper()
	keyA, keyB := newKey(t), newKey(t)
	a = newSide(t, newMaps(t), idA, keyA, 1, whereA)
	b = newSide(t, newMaps(t), idB, keyB, 1, whereB)
	require.NoError(t, a.Apply(list(1, peerOf(idB, keyB, whereB))))
	require.NoError(t, b.Apply(list(1, peerOf(idA, keyA, whereA))))
	return a, b
}

// TestFourPacketsEndAGreeting: after the second the first worker knows where the other is, after the third the other does too, and only
// the fourth tells the first that its packets will be taken.
func TestFourPacketsEndAGreeting(t *testing.T) {
	a, b := pair(t)
	index, met := a.Index(idB)
	require.NotZero(t, index)
	require.False(t, met)
	record, _, err := a.cfg.Maps.Peers.Lookup(index)
	require.NoError(t, err)
	require.Equal(t, bpf.PeerGreeting, record.State)

	var told []string
	a.Subscribe(func(id string) { told = append(told, id) })
	a.greetDue(a.clock)
	require.Equal(t, 1, deliver(a, b, whereA, whereB))
	require.Equal(t, 1, deliver(b, a, whereB, whereA))
	_, met = a.Index(idB)
	require.False(t, met, "the other worker would still drop our packets as a stranger's")
	_, located, err := a.cfg.Maps.PeerAddrs.Lookup(bpf.PeerAddr{Addr: bpf.AddrFrom(whereB.Addr())})
	require.NoError(t, err)
	require.True(t, located, "the other worker may send as soon as it has our answer")
	require.Equal(t, 1, deliver(a, b, whereA, whereB))
	_, met = b.Index(idA)
	require.True(t, met)
	require.Equal(t, 1, deliver(b, a, whereB, whereA))
	require.Zero(t, deliver(a, b, whereA, whereB), "the greeting does not end")

	for _, s := range []struct {
		*side
		other string
		where netip.AddrPort
	}{{a, idB, whereB}, {b, idA, whereA}} {
		index, met := s.Index(s.other)
		require.True(t, met)
		record, _, err := s.cfg.Maps.Peers.Lookup(index)
		require.NoError(t, err)
		require.Equal(t, bpf.PeerUp, record.State)
		require.Equal(t, s.where.Addr(), record.Outer.Netip())
		require.Equal(t, s.where.Port(), record.Port)
		require.EqualValues(t, 9, record.Ifindex)
		require.EqualValues(t, 1464, record.Mtu)
		owner, ok, err := s.cfg.Maps.PeerAddrs.Lookup(bpf.PeerAddr{Addr: record.Outer})
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, index, owner)
	}
	require.Equal(t, []string{idB}, told)
}

func TestHellosThatDoNotCount(t *testing.T) {
	keyA, keyB := newKey(t), newKey(t)
	const theirStart = 5
	parse := func(id string) [12]byte { out, err := bpf.ParseID(id); require.NoError(t, err); return out }
	good := hello.Hello{
		WantsAnswer: true, Sender: parse(idB), Receiver: parse(idA),
		At: hello.Position{Start: theirStart, Sequence: 10}, Own: whereB, Observed: whereA, MTU: 1400,
	}
	key, err := hello.PairKey(keyB, keyA.PublicKey().Bytes(), good.Sender, good.Receiver)
	require.NoError(t, err)
	stranger, err := hello.PairKey(newKey(t), keyA.PublicKey().Bytes(), good.Sender, good.Receiver)
	require.NoError(t, err)

	for name, c := range map[string]struct {
		change func(*hello.Hello)
		key    []byte
		counts bool
	}{
		"good":           {func(*hello.Hello) {}, key, true},
		"forged":         {func(*hello.Hello) {}, stranger, false},
		"unsigned":       {func(*hello.Hello) {}, nil, false},
		"for another":    {func(h *hello.Hello) { h.Receiver = parse(idC) }, key, false},
		"from ourselves": {func(h *hello.Hello) { h.Sender = parse(idA) }, key, false},
		"from unknown":   {func(h *hello.Hello) { h.Sender = parse(idC) }, key, false},
		"replayed":       {func(h *hello.Hello) { h.At.Sequence = 9 }, key, false},
		"older":          {func(h *hello.Hello) { h.At.Sequence = 3 }, key, false},
		"old start":      {func(h *hello.Hello) { h.At = hello.Position{Start: theirStart - 1, Sequence: 1000} }, key, false},
		"new start":      {func(h *hello.Hello) { h.At = hello.Position{Start: theirStart + 1, Sequence: 1} }, key, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newSide(t, newMaps(t), idA, keyA, 1, whereA)
			require.NoError(t, a.Apply(list(1, peerOf(idB, keyB, whereB))))
			before := good
			before.At.Sequence = 9
			a.HandleHello(asEvent(before.Encode(key), whereB, whereA))
			require.Len(t, a.tap.take(t), 1)

			h := good
			c.change(&h)
			a.HandleHello(asEvent(h.Encode(c.key), whereB, whereA))
			answers := a.tap.take(t)
			if !c.counts {
				require.Empty(t, answers)
				return
			}
			require.Len(t, answers, 1)
			require.Equal(t, h.At, answers[0].Quoted)
			_, met := a.Index(idB)
			require.False(t, met, "met without an answer to a hello of ours")
		})
	}
}

func TestAnAddressCountsOnlyWhenItAnswers(t *testing.T) {
	a, b := pair(t)
	a.greetDue(a.clock)
	deliver(a, b, whereA, whereB)
	// The answer quotes our hello, but arrives from where we have sent none.
	require.Equal(t, 1, deliver(b, a, whereX, whereA))
	_, met := a.Index(idB)
	require.False(t, met)
	challenge := a.tap.take(t)
	require.Len(t, challenge, 1)
	require.True(t, challenge[0].WantsAnswer)

	// A late answer does not count either.
	a, b = pair(t)
	a.greetDue(a.clock)
	deliver(a, b, whereA, whereB)
	a.clock = a.clock.Add(challengeLife + time.Second)
	deliver(b, a, whereB, whereA)
	_, met = a.Index(idB)
	require.False(t, met)
}

func meet(t *testing.T, a, b *side, atA, atB netip.AddrPort) {
	t.Helper()
	a.greetDue(a.clock)
	for range 8 {
		if deliver(a, b, atA, atB)+deliver(b, a, atB, atA) == 0 {
			return
		}
	}
	t.Fatal("the greeting does not end")
}

// TestAPeerThatWasForgottenIsMetAgain: one side lets the other go, as when interest lapses there, and is told of it again, while the other has
// kept it all the time, and the memory of how far their conversation had come.
func TestAPeerThatWasForgottenIsMetAgain(t *testing.T) {
	keyA, keyB := newKey(t), newKey(t)
	a := newSide(t, newMaps(t), idA, keyA, 1, whereA)
	b := newSide(t, newMaps(t), idB, keyB, 1, whereB)
	require.NoError(t, a.Apply(list(1, peerOf(idB, keyB, whereB))))
	for revision := uint64(1); revision < 9; revision += 2 {
		require.NoError(t, b.Apply(list(revision, peerOf(idA, keyA, whereA))))
		b.greetDue(b.clock)
		for range 8 {
			deliver(b, a, whereB, whereA)
			deliver(a, b, whereA, whereB)
		}
		_, met := b.Index(idA)
		require.True(t, met, "revision %d", revision)

		require.NoError(t, b.Apply(list(revision+1)))
		b.reap()
		index, _ := b.Index(idA)
		require.Zero(t, index)
		_, met = a.Index(idB)
		require.True(t, met)
	}
}

// TestAPeerThatReturnsIsGreetedFirst: both are told that they need each other no more, and again that they do; meanwhile one has forgotten the
// other, which is not to believe that it is still known.
func TestAPeerThatReturnsIsGreetedFirst(t *testing.T) {
	a, b := pair(t)
	peerA, peerB := peerOf(idA, a.cfg.Key, whereA), peerOf(idB, b.cfg.Key, whereB)
	meet(t, a, b, whereA, whereB)
	var told []string
	a.Subscribe(func(id string) { told = append(told, id) })

	require.NoError(t, a.Apply(list(2)))
	require.NoError(t, b.Apply(list(2)))
	b.reap()
	index, met := a.Index(idB)
	require.True(t, met, "forgotten before its time")
	require.NoError(t, b.Apply(list(3, peerA)))
	require.NoError(t, a.Apply(list(3, peerB)))
	_, met = a.Index(idB)
	require.False(t, met)
	record, _, err := a.cfg.Maps.Peers.Lookup(index)
	require.NoError(t, err)
	require.Equal(t, whereB.Port(), record.Port, "flows that there are lose their way")
	meet(t, a, b, whereA, whereB)
	again, met := a.Index(idB)
	require.True(t, met)
	require.Equal(t, index, again)
	require.Equal(t, []string{idB, idB}, told)

	// Who was in every list need prove nothing.
	require.NoError(t, a.Apply(list(4, peerB)))
	_, met = a.Index(idB)
	require.True(t, met)
}

func TestAPeerThatMovesIsFollowed(t *testing.T) {
	a, b := pair(t)
	meet(t, a, b, whereA, whereB)
	b.cfg.Uplink = func() Uplink { return Uplink{Ifindex: 7, IPv4: whereX.Addr(), MTU: 1400} }
	b.lookAtUplink()
	meet(t, b, a, whereX, whereA)

	index, _ := a.Index(idB)
	record, _, err := a.cfg.Maps.Peers.Lookup(index)
	require.NoError(t, err)
	require.Equal(t, whereX.Addr(), record.Outer.Netip())
	require.EqualValues(t, 1364, record.Mtu)
	_, ok, err := a.cfg.Maps.PeerAddrs.Lookup(bpf.PeerAddr{Addr: bpf.AddrFrom(whereB.Addr())})
	require.NoError(t, err)
	require.False(t, ok, "the old address still counts")
}

func TestAnAddressTakenOverByAnotherWorker(t *testing.T) {
	keyC := newKey(t)
	a, b := pair(t)
	meet(t, a, b, whereA, whereB)
	// B's machine comes back as C, at B's address.
	c := newSide(t, newMaps(t), idC, keyC, 1, whereB)
	require.NoError(t, a.Apply(list(2, peerOf(idB, b.cfg.Key, whereB), peerOf(idC, keyC, whereB))))
	require.NoError(t, c.Apply(list(1, peerOf(idA, a.cfg.Key, whereA))))
	meet(t, c, a, whereB, whereA)

	_, met := a.Index(idB)
	require.False(t, met)
	indexC, met := a.Index(idC)
	require.True(t, met)
	owner, _, err := a.cfg.Maps.PeerAddrs.Lookup(bpf.PeerAddr{Addr: bpf.AddrFrom(whereB.Addr())})
	require.NoError(t, err)
	require.Equal(t, indexC, owner)
}

func TestAnswersAreLimited(t *testing.T) {
	a, b := pair(t)
	for range 10 * answerBurst {
		p := b.byID[a.id]
		b.greet(&p.conversation, false, whereA, true, b.clock)
	}
	deliver(b, a, whereB, whereA)
	require.LessOrEqual(t, len(a.tap.take(t)), answerBurst+1)
}

func TestRetriesBackOff(t *testing.T) {
	var waits []time.Duration
	for n := 1; n < 8; n++ {
		waits = append(waits, retryAfter(n))
	}
	require.Equal(t, []time.Duration{
		10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond,
		160 * time.Millisecond, 320 * time.Millisecond, 640 * time.Millisecond,
	}, waits)
	for _, n := range []int{8, 9, 100, 1 << 30} {
		require.InDelta(t, time.Second, retryAfter(n), float64(100*time.Millisecond))
	}
}

func TestHandleHelloTakesAnything(t *testing.T) {
	a, _ := pair(t)
	for _, n := range []uint16{0, 1, hello.Len, 256, 257, 0xffff} {
		a.HandleHello(bpf.Hello{Len: n})
	}
	require.Empty(t, a.tap.take(t))
}
