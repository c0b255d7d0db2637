// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Who wants very much is told all of it, bit by bit, and of each service the latest.
func TestWhoWantsMuchIsToldBitByBit(t *testing.T) {
	var out []Message
	p := NewPlane(NewCore(1, time.Time{}), func(m Message) int { out = append(out, m); return 1 }, func() {})
	p.Do(func(c *Core) []Message {
		return []Message{{Worker: "w", Name: wire.TopicNetPeers}}
	})
	many := func(payload int) (list []Message) {
		for n := range 3 * burst {
			list = append(list, Message{Worker: "w", Name: fmt.Sprint(wire.TopicNetRoutes, n), Payload: payload})
		}
		return append(list, Message{Worker: "w", Name: wire.TopicNetResolved}, Message{Worker: "v", Name: wire.TopicNetRoutes + "0"})
	}
	p.Do(func(*Core) []Message { return many(1) })
	require.Len(t, out, 1+burst+2, "no other has to wait")
	p.Do(func(*Core) []Message { return many(2) })
	told := map[string]int{}
	for range 10 {
		before := len(out)
		_, more := p.flush()
		require.LessOrEqual(t, len(out)-before, burst)
		if !more {
			break
		}
	}
	for _, m := range out {
		if n, ok := m.Payload.(int); ok && m.Worker == "w" {
			told[m.Name] = n
		}
	}
	require.Len(t, told, 3*burst)
	for name, payload := range told {
		require.Equal(t, 2, payload, name)
	}
	require.Zero(t, p.later.len())
}
