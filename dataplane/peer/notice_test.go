// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
)

var somewhere = netip.MustParseAddr("10.18.0.2")

func staleOf(peer, tag uint32) bpf.StalePacket {
	return bpf.StalePacket{Peer: peer, Dst: bpf.AddrFrom(somewhere), Tag: tag}
}

// notices returns what a has sent.
func notices(t *testing.T, a *side) (out [][]byte) {
	t.Helper()
	for _, p := range a.tap.sent {
		body, err := hello.Untunneled(p[ip4Len+udpLen:])
		require.NoError(t, err)
		require.True(t, hello.IsNotice(body))
		out = append(out, body)
	}
	a.tap.sent = nil
	return out
}

func TestAPeerIsToldOfAStaleRoute(t *testing.T) {
	a, b := pair(t)
	meet(t, a, b, whereA, whereB)
	var told []string
	a.SubscribeStale(func(id string, ns netip.Addr, tag uint32) { told = append(told, fmt.Sprint(id, " ", ns, " ", tag)) })
	index, _ := b.Index(idA)
	b.HandleStale(staleOf(index, 0xabc))
	sent := notices(t, b)
	require.Len(t, sent, 1)
	a.HandleHello(asEvent(sent[0], whereB, whereA))
	require.Equal(t, []string{idB + " 10.18.0.2 2748"}, told)
	require.Empty(t, a.tap.sent, "a notice is not answered")

	// Each counts once.
	a.HandleHello(asEvent(sent[0], whereB, whereA))
	require.Len(t, told, 1)
	// And hellos go on.
	meet(t, b, a, whereB, whereA)
}

func TestNoticesThatDoNotCount(t *testing.T) {
	a, b := pair(t)
	meet(t, a, b, whereA, whereB)
	p := recordOf(t, b, idA)
	believed := ""
	a.SubscribeStale(func(string, netip.Addr, uint32) { believed = "yes" })
	good := hello.Notice{Sender: b.id, Receiver: a.id, At: hello.Position{Start: 1, Sequence: 100}, Address: somewhere, Tag: 1}
	for name, c := range map[string]struct {
		change func(*hello.Notice)
		key    []byte
	}{
		"forged":      {func(*hello.Notice) {}, []byte("guess")},
		"for another": {func(n *hello.Notice) { n.Receiver[0]++ }, p.key},
		"of unknown":  {func(n *hello.Notice) { n.Sender[0]++ }, p.key},
		"too old":     {func(n *hello.Notice) { n.At = hello.Position{} }, p.key},
	} {
		n := good
		c.change(&n)
		a.HandleHello(asEvent(n.Encode(c.key), whereB, whereA))
		require.Empty(t, believed, name)
	}
	a.HandleHello(asEvent(good.Encode(p.key), whereB, whereA))
	require.NotEmpty(t, believed)
}

// TestNoticesOfAForgottenConversationDoNotCount: one that was recorded while the two knew each other is sent again after one has forgotten the
// other and is told of it anew, before the other has proven to be there and after.
func TestNoticesOfAForgottenConversationDoNotCount(t *testing.T) {
	a, b := pair(t)
	meet(t, a, b, whereA, whereB)
	index, _ := b.Index(idA)
	b.HandleStale(staleOf(index, 1))
	recorded := notices(t, b)
	require.Len(t, recorded, 1)

	believed := 0
	a.SubscribeStale(func(string, netip.Addr, uint32) { believed++ })
	require.NoError(t, a.Apply(list(2)))
	a.reap()
	require.NoError(t, a.Apply(list(3, peerOf(idB, b.cfg.Key, whereB))))
	a.HandleHello(asEvent(recorded[0], whereB, whereA))
	require.Zero(t, believed)
	meet(t, a, b, whereA, whereB)
	a.HandleHello(asEvent(recorded[0], whereB, whereA))
	require.Zero(t, believed)
	b.HandleStale(staleOf(index, 1))
	a.HandleHello(asEvent(notices(t, b)[0], whereB, whereA))
	require.Equal(t, 1, believed)
}

func TestNoticesAreLimited(t *testing.T) {
	a, b := pair(t)
	index, _ := b.Index(idA)
	b.HandleStale(staleOf(index, 1))
	require.Empty(t, b.tap.sent, "nobody is told who was not met")
	meet(t, a, b, whereA, whereB)
	for range 10 * noticeBurst {
		b.HandleStale(staleOf(index, 1))
	}
	require.Len(t, notices(t, b), noticeBurst)
	b.clock = b.clock.Add(time.Second)
	b.HandleStale(staleOf(index, 1))
	require.Len(t, notices(t, b), 1)
	b.HandleStale(staleOf(index+1, 1))
	require.Empty(t, b.tap.sent)
}
