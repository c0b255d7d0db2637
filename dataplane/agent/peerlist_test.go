// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestChangesOfTheListOfPeers(t *testing.T) {
	at := func(revision uint64) wire.Stamp { return wire.Stamp{Epoch: 1, Revision: revision} }
	list := func(revision, base uint64, gone []string, ids ...string) wire.NetPeers {
		m := wire.NetPeers{Header: wire.NewHeader(at(revision)), Gone: gone}
		if base > 0 {
			m.Base = at(base)
		}
		for _, id := range ids {
			m.Peers = append(m.Peers, wire.NetPeer{WorkerID: id, NAT: wire.NAT("")})
		}
		return m
	}
	var l peerList
	check := func(m wire.NetPeers, ok bool, stamp uint64, ids ...string) {
		t.Helper()
		whole, got := l.merge(m)
		require.Equal(t, ok, got)
		if !ok {
			return
		}
		require.Equal(t, at(stamp), whole.Stamp)
		require.True(t, whole.Base.IsZero())
		have := []string{}
		for _, p := range whole.Peers {
			have = append(have, p.WorkerID)
		}
		require.ElementsMatch(t, ids, have)
	}
	check(list(2, 1, nil, "a"), false, 0) // of a list that is not known
	check(list(3, 0, nil, "a", "b"), true, 3, "a", "b")
	check(list(4, 3, []string{"a"}, "c"), true, 4, "b", "c")
	check(list(4, 3, []string{"a"}, "c"), true, 4, "b", "c") // twice
	check(list(6, 5, nil, "d"), false, 0)                    // one is missing
	check(list(5, 4, []string{"b", "x"}), true, 5, "c")
	check(list(1, 0, nil, "old"), true, 1, "old") // for who applies it to refuse
	check(list(6, 5, nil, "d"), true, 6, "c", "d")
	check(list(9, 0, nil), true, 9)
}
