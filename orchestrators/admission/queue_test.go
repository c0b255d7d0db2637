// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"testing"

	"github.com/stretchr/testify/require"
)

type closer struct{ closed bool }

func (c *closer) Close() error { c.closed = true; return nil }

func TestTheOneThatWaitedLongestGoes(t *testing.T) {
	q := NewQueue(2)
	conns := []*closer{{}, {}, {}, {}}
	var leave []func() bool
	for _, c := range conns[:2] {
		leave = append(leave, q.Enter(c))
	}
	require.True(t, leave[0](), "it has spoken")
	leave = append(leave, q.Enter(conns[2]), q.Enter(conns[3]))
	require.False(t, conns[0].closed)
	require.True(t, conns[1].closed)
	require.False(t, leave[1]())
	require.True(t, leave[2]())
	require.True(t, leave[3]())
	require.Zero(t, q.waiting.Len())
}
