// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Time in which nobody could be heard is held against nobody, but what passed before and after it is.
func TestTimeWithoutHearingCountsAgainstNobody(t *testing.T) {
	b := newBed(2)
	b.alive("w2", 1, false)
	b.later(DefaultLostAfter/2, "w1")
	b.now = b.now.Add(10 * DefaultLostAfter)
	b.Away(10*DefaultLostAfter, b.now)
	for worker, want := range map[string]string{"w1": "ready", "w2": "unavailable"} {
		status, _ := b.Status(worker, b.now)
		require.Equal(t, want, status, worker)
	}
	b.later(DefaultLostAfter/2+time.Second, "w1")
	status, _ := b.Status("w2", b.now)
	require.Equal(t, "lost", status, "the time before and after counts")
	b.later(DefaultSilent + DefaultLostAfter + time.Second)
	status, _ = b.Status("w1", b.now)
	require.Equal(t, "lost", status)
}
