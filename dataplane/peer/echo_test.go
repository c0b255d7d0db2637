// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// live lets time pass until a has looked after its peers' health again, and returns the echo requests that it has sent.
func (s *side) live(d time.Duration) (echoes [][]byte) {
	for end := s.clock.Add(d); s.clock.Before(end); {
		next := s.greetDue(s.clock)
		s.tap.sent = nil // hellos are not at stake
		if next.After(end) {
			next = end
		}
		s.clock = next
	}
	echoes, s.tap.echoes = s.tap.echoes, nil
	return echoes
}

func healthOf(t *testing.T, s *side, index uint32) bpf.PeerHealth {
	t.Helper()
	h, _, err := s.cfg.Maps.PeerHealth.Lookup(index)
	require.NoError(t, err)
	return h
}

// answered does what the program does with an answer.
func (s *side) answered(t *testing.T, index uint32, rtt time.Duration) {
	t.Helper()
	h := healthOf(t, s, index)
	now := uint64(s.clock.UnixNano())
	h.Sampled, h.Heard, h.Asked, h.Nonce, h.RttUs = now, now, 0, 0, uint32(rtt.Microseconds())
	require.NoError(t, s.cfg.Maps.PeerHealth.Put(index, h))
}

func TestAPeerIsAskedAsSoonAsItIsMet(t *testing.T) {
	a, b := pair(t)
	require.Empty(t, a.live(time.Minute), "nobody answers who was not met")
	recordOf(t, a, idB).greetNow()
	meet(t, a, b, whereA, whereB)
	a.greetDue(a.clock)
	require.Len(t, a.tap.echoes, 1)
	index, _ := a.Index(idB)
	h := healthOf(t, a, index)
	require.Equal(t, uint64(a.clock.UnixNano()), h.Asked)
	require.Equal(t, h.Asked, h.Sent)
	require.NotZero(t, h.Nonce)

	p := a.tap.echoes[0]
	udp := p[ip4Len:]
	require.Equal(t, whereA.Port(), binary.BigEndian.Uint16(udp), "an answer has to find the tunnel's port")
	require.Equal(t, whereB.Port(), binary.BigEndian.Uint16(udp[2:]))
	require.Equal(t, append([]byte{0x0c, 0, 0, 0xfd, 0, 0, 0, 0, 'o', 'a', 'k', 'e', 0, 1, 0, 0}, binary.NativeEndian.AppendUint64(nil, h.Nonce)...), udp[udpLen:])
	require.Equal(t, uint16(0xffff), udpChecksum(whereA.Addr(), whereB.Addr(), udp))
}

func TestAnswersSpareEchoes(t *testing.T) {
	a, b := pair(t)
	meet(t, a, b, whereA, whereB)
	index, _ := a.Index(idB)
	a.greetDue(a.clock)
	a.tap.echoes = nil
	a.answered(t, index, 3*time.Millisecond)
	require.Equal(t, 3*time.Millisecond, a.Peers()[0].RTT)

	// Then one in 5 s, if it is answered …
	sent := 0
	for range 12 {
		for range 50 {
			if n := len(a.live(100 * time.Millisecond)); n > 0 {
				sent += n
				a.answered(t, index, 3*time.Millisecond)
			}
		}
	}
	require.InDelta(t, 12, sent, 4)
	// … and none at all while handshakes tell.
	sent = 0
	for range 60 {
		a.answered(t, index, 3*time.Millisecond)
		sent += len(a.live(time.Second))
	}
	require.LessOrEqual(t, sent, 1)
}

func TestAPeerThatDoesNotAnswerIsSilent(t *testing.T) {
	a, b := pair(t)
	meet(t, a, b, whereA, whereB)
	index, _ := a.Index(idB)
	first := a.clock
	sent := len(a.live(9 * time.Second))
	require.InDelta(t, 9, sent, 2, "asked about every second")
	h := healthOf(t, a, index)
	require.Equal(t, uint64(first.UnixNano()), h.Asked, "since when there is no answer is forgotten")
	require.False(t, h.Silent(a.mono()))
	require.False(t, a.Peers()[0].Silent)
	a.live(2*time.Second + echoAgain/5) // the next look may be a tenth late
	require.True(t, a.Peers()[0].Silent)
	require.True(t, recordOf(t, a, idB).silent)
	index2, met := a.Index(idB)
	require.Equal(t, index, index2)
	require.True(t, met, "a silent peer keeps its routes and flows")

	a.answered(t, index, time.Millisecond)
	require.False(t, a.Peers()[0].Silent)
	a.live(2 * time.Second)
	require.False(t, recordOf(t, a, idB).silent)
}

// TestTheHealthOfAFormerPeerIsForgotten: an index goes to another worker, and its silence does not.
func TestTheHealthOfAFormerPeerIsForgotten(t *testing.T) {
	a := newSide(t, newMaps(t), idA, newKey(t), 1, whereA)
	require.NoError(t, a.cfg.Maps.PeerHealth.Put(1, bpf.PeerHealth{Asked: 1, Sent: 1, RttUs: 7}))
	require.NoError(t, a.Apply(list(1, peerOf(idB, newKey(t), whereB))))
	index, _ := a.Index(idB)
	require.EqualValues(t, 1, index)
	require.Zero(t, healthOf(t, a, 1))
}
