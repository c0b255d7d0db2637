// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

func datagrams(dst string, from, to int) (frames [][]byte, texts []string) {
	for i := from; i < to; i++ {
		text := fmt.Sprintf("datagram %d", i)
		frames = append(frames, frameOf(0, 0, udp(client, dst, text)))
		texts = append(texts, text)
	}
	return frames, texts
}

func texts(frames [][]byte) (out []string) {
	for _, f := range frames {
		out = append(out, payload(f))
	}
	return out
}

func TestABurstComesBackInOrder(t *testing.T) {
	p := newPair(t)
	p.onWant = func(a netip.Addr) {
		go func() {
			time.Sleep(20 * time.Millisecond)
			p.know(a.String(), bpf.PolicyRoundRobin)
			p.Answer(a, true)
		}()
	}
	frames, want := datagrams(service, 0, 50)
	p.up(frames[:30]...)
	p.waitHeld(30)
	p.up(frames[30:]...)
	back := p.downAll(50)
	require.Equal(t, want, texts(back))
	require.Equal(t, frames[0], back[0], "a frame comes back changed")
	require.Equal(t, []string{service}, p.questions(), "one miss, one question")

	// Known by now: straight back, no question.
	more, want := datagrams(service, 50, 55)
	p.up(more...)
	require.Equal(t, want, texts(p.downAll(5)))
	require.Len(t, p.questions(), 1)
	s := p.Stats()
	require.EqualValues(t, 55, s.Received)
	require.EqualValues(t, 55, s.Returned)
	require.Zero(t, s.Held)
	require.Zero(t, s.Bytes)
}

func TestAnAnswerAtOnce(t *testing.T) {
	p := newPair(t)
	p.onWant = func(a netip.Addr) {
		p.know(a.String(), bpf.PolicyRoundRobin)
		p.Answer(a, true)
	}
	frames, want := datagrams(service, 0, 3)
	p.up(frames...)
	require.Equal(t, want, texts(p.downAll(3)))
}

func TestWhatIsHeldIsBounded(t *testing.T) {
	p := newPair(t)
	frames, want := datagrams(service, 0, maxHeld+3)
	p.up(frames[:maxHeld]...)
	p.waitHeld(maxHeld)
	p.up(frames[maxHeld:]...)
	require.Equal(t, want[maxHeld:], texts(p.downAll(3)), "the overflow goes back to be counted")
	require.EqualValues(t, 3, p.Stats().Overflow)

	others, _ := datagrams("10.30.1.2", 0, 1)
	p.up(others...)
	p.waitHeld(maxHeld + 1)
	p.Answer(netip.MustParseAddr(service), true)
	require.Equal(t, want[:maxHeld], texts(p.downAll(maxHeld)))
	p.waitHeld(1)
}

func TestMemoryIsBounded(t *testing.T) {
	p := newPair(t)
	big := make([]byte, 60000)
	n := maxHeldBytes/(len(big)+vnetLen+ethLen+28) + 1
	for i := range n {
		raw := frameOf(0, 0, udp(client, fmt.Sprintf("10.30.%d.1", i/8), string(big)))
		f, ok := parse(raw, time.Now())
		require.True(t, ok)
		p.arrive(f)
	}
	s := p.Stats()
	require.LessOrEqual(t, s.Bytes, maxHeldBytes)
	require.NotZero(t, s.Overflow+s.Failed)
}

func TestNoAnswerInTime(t *testing.T) {
	p := newPair(t)
	frames, want := datagrams(service, 0, 2)
	start := time.Now()
	p.up(frames...)
	require.Equal(t, want, texts(p.downAll(2)), "the packets go back to be counted, and their senders told")
	require.WithinDuration(t, start.Add(maxWait), time.Now(), 500*time.Millisecond)
	require.GreaterOrEqual(t, len(p.questions()), 3, "asked again meanwhile")
	require.EqualValues(t, 2, p.Stats().TimedOut)
	p.waitHeld(0)
}

// TestNobodyHasTheAddress: the programs, which find the refusal in the maps, are to tell the senders.
func TestNobodyHasTheAddress(t *testing.T) {
	p := newPair(t)
	p.onWant = func(a netip.Addr) {
		p.know(a.String(), bpf.PolicyNone)
		p.Answer(a, false)
	}
	syn, datagram := frameOf(0, 0, tcp(client, service, tcpSYN, 0)), frameOf(0, 0, udp(client, service, "x"))
	p.up(syn)
	require.Equal(t, [][]byte{syn}, p.downAll(1))

	// Remembered by the maps: no second question.
	p.up(datagram)
	require.Equal(t, [][]byte{datagram}, p.downAll(1))
	require.Nil(t, p.down(20*time.Millisecond))
	require.Len(t, p.questions(), 1)
	require.EqualValues(t, 2, p.Stats().Refused)
}

func TestSourcesAreWaitedForApart(t *testing.T) {
	p := newPair(t)
	// The same address is wanted as a source of peer 3 and as a destination.
	fromPeer := frameOf(3, 0xabcdef, udp("10.30.0.9", client, "from the peer"))
	fromContainer := frameOf(0, 0, udp(client, "10.30.0.9", "from the container"))
	p.up(fromPeer, fromContainer)
	p.waitHeld(2)
	require.Equal(t, []string{"source 10.30.0.9", "10.30.0.9"}, p.questions())

	source := netip.MustParseAddr("10.30.0.9")
	require.NoError(t, p.maps.Sources.Put(bpf.AddrFrom(source), bpf.Source{Peer: 3}))
	p.SourceKnown(source)
	require.Equal(t, fromPeer, p.downAll(1)[0], "peer and tag come back")
	p.up(fromPeer)
	require.Equal(t, fromPeer, p.downAll(1)[0])
	p.waitHeld(1)

	// A source that stays unknown: back after a second, and nobody here is told.
	stranger := frameOf(4, 1, udp("10.30.0.10", client, "from nowhere"))
	p.up(stranger)
	p.Answer(source, true)
	require.Equal(t, "from the container", payload(p.downAll(1)[0]))
	require.Equal(t, stranger, p.downAll(1)[0])
	require.Nil(t, p.down(50*time.Millisecond))
}

func TestASuperPacketPassesUnchanged(t *testing.T) {
	p := newPair(t)
	const size = 40000
	f := frameOf(0, 0, tcp(client, service, tcpACK, size))
	// struct virtio_net_hdr: the checksum is partial, and the segments carry 1400 bytes.
	f[0], f[1] = 1, 1
	binary.NativeEndian.PutUint16(f[2:], ethLen+40)
	binary.NativeEndian.PutUint16(f[4:], 1400)
	binary.NativeEndian.PutUint16(f[6:], ethLen+20)
	binary.NativeEndian.PutUint16(f[8:], 16)
	p.up(f)
	p.waitHeld(1)
	require.Equal(t, len(f), p.Stats().Bytes, "it was cut into segments on its way up")
	p.Answer(netip.MustParseAddr(service), true)
	back := p.downAll(1)[0]
	require.Equal(t, f[:2], back[:2])
	require.Equal(t, f[4:], back[4:], "it comes back changed")
	require.Nil(t, p.down(20*time.Millisecond))
}

func TestTheStartSettlesWhatWasUp(t *testing.T) {
	p := newPair(t, func(m *bpf.Maps) {
		for i := range 5 {
			require.NoError(t, m.Pending.Put(bpf.Addr{B: [16]byte{15: byte(i)}}, bpf.Pending{Up: 3, LastUp: 1 << 62}))
		}
	})
	require.Zero(t, pendings(t, p.maps))

	// Later, what nothing waits for goes too.
	frames, _ := datagrams(service, 0, 1)
	p.up(frames...)
	p.waitHeld(1)
	require.NoError(t, p.maps.Pending.Put(bpf.AddrFrom(netip.MustParseAddr(service)), bpf.Pending{Up: 1, LastUp: 1}))
	require.NoError(t, p.maps.Pending.Put(bpf.AddrFrom(netip.MustParseAddr("10.30.1.2")), bpf.Pending{Up: 1, LastUp: 1}))
	p.settleOld()
	require.Equal(t, 1, pendings(t, p.maps))
}

// TestLostFramesAreWrittenOff has frames of two addresses missing of which we hold none: of one ever the same, of the other now
// these and now those, as when they are under way.
func TestLostFramesAreWrittenOff(t *testing.T) {
	maps, err := bpf.NewMaps()
	require.NoError(t, err)
	t.Cleanup(func() { _ = maps.Close() })
	p := &Queue{cfg: Config{Maps: maps}} // which does not run: it would look by itself meanwhile
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
	put := func(addr string, up, down uint64) bpf.Addr {
		key := bpf.AddrFrom(netip.MustParseAddr(addr))
		require.NoError(t, maps.Pending.Put(key, bpf.Pending{Up: up, Down: down, LastUp: uint64(now.Nano())}))
		return key
	}
	lost, busy := put("10.30.1.1", 9, 8), put("10.30.1.2", 9, 8)
	p.settleOld()
	put("10.30.1.2", 12, 10)
	p.settleOld()
	_, ok, err := maps.Pending.Lookup(lost)
	require.NoError(t, err)
	require.False(t, ok, "packets to the address would come up for ever")
	_, ok, err = maps.Pending.Lookup(busy)
	require.NoError(t, err)
	require.True(t, ok, "frames that are under way would be overtaken")
}

func pendings(t *testing.T, m *bpf.Maps) (n int) {
	t.Helper()
	var err error
	for range m.Pending.All(&err) {
		n++
	}
	require.NoError(t, err)
	return n
}

func TestPendingKeysTellSourcesApart(t *testing.T) {
	for _, a := range []string{"10.30.0.1", "fdff:1000::1", "fc00::1"} {
		addr := bpf.AddrFrom(netip.MustParseAddr(a))
		require.Equal(t, wanted{addr: addr}, pendingKey(addr))
		flipped := addr
		flipped.B[0] ^= 0x80
		require.Equal(t, wanted{addr: addr, source: true}, pendingKey(flipped))
	}
}
