// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/sim/hollow"
)

func TestNewsAreMeasuredAtThoseWhomTheyConcern(t *testing.T) {
	begin := time.Unix(1_000_000, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	ms := func(all ...int) (out []time.Duration) {
		for _, n := range all {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	c := hollow.Copy{InstanceKey: wire.InstanceKey{ServiceID: "s"}}
	times := NewTimes()
	times.Up("w", c, at(1000))
	times.Routed("a", c, begin, at(1030))
	times.Routed("b", c, begin, at(1040))
	times.Routed("late", c, at(1001), at(5000)) // wanted it only afterwards
	require.Equal(t, ms(30, 40), times.Take().First)

	times.Unrouted("late", c, at(6000)) // is told another one instead
	times.Routed("d", c, begin, at(6000))
	require.Len(t, times.Take().First, 1, "the first news of it that d has")
	require.Equal(t, 4, times.Firsts())

	times.Down("w", c, at(7000))
	require.Equal(t, 6, times.Unheard(c))
	times.Unrouted("a", c, at(7005))
	times.Unrouted("b", c, at(7100))
	times.Up("w", c, at(7500))
	times.Routed("a", c, begin, at(7510))
	times.Routed("b", c, begin, at(7800))
	times.Routed("e", c, begin, at(7900)) // had none before
	s := times.Take()
	require.Equal(t, ms(5, 100), s.Unrouted)
	require.Equal(t, ms(10, 300), s.Routed)
	require.Equal(t, 2, times.Unheard(c), "d has heard of neither")

	// Of who has missed both it is known at the second news at the latest.
	times.Unrouted("d", c, at(9000))
	times.Routed("d", c, begin, at(9001))
	require.Zero(t, times.Unheard(c))
	s = times.Take()
	require.Equal(t, ms(2000), s.Unrouted)
	require.Equal(t, ms(1501), s.Routed)
}
