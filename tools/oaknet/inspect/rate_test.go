// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRates(t *testing.T) {
	flow := func(port uint16, service string, number uint32, tx, rx uint64) Flow {
		return Flow{
			Protocol: "tcp", Source: netip.MustParseAddr("10.0.0.1"), SourcePort: port, ServiceID: service, Number: number,
			TxPackets: tx, TxBytes: 100 * tx, RxPackets: rx, RxBytes: 1000 * rx,
		}
	}
	before := []Flow{flow(1, "a", 0, 10, 10), flow(2, "a", 1, 5, 5), flow(3, "b", 0, 1, 1), flow(4, "b", 0, 100, 100)}
	after := []Flow{
		flow(1, "a", 0, 30, 14), // goes on
		flow(2, "a", 1, 5, 5),   // idles
		flow(4, "b", 0, 2, 0),   // another in its place
		flow(5, "b", 1, 8, 0),   // new
	} // and the third has ended
	got := Rates(before, after, 2*time.Second, ByService)
	require.Len(t, got, 2)
	assert.Equal(t, Rate{ServiceID: "a", Flows: 2, TxPackets: 10, TxBytes: 1000, RxPackets: 2, RxBytes: 2000}, got[0])
	assert.Equal(t, Rate{ServiceID: "b", Flows: 2, Opened: 1, Ended: 1, TxPackets: 5, TxBytes: 500}, got[1])

	got = Rates(before, after, 2*time.Second, ByInstance)
	require.Len(t, got, 4)
	assert.Equal(t, []any{"b", uint32(1), 4.0}, []any{got[1].ServiceID, *got[1].Number, got[1].TxPackets})
	got = Rates(before, after, 2*time.Second, ByProtocol)
	require.Len(t, got, 1)
	assert.Equal(t, Rate{Protocol: "tcp", Flows: 4, Opened: 1, Ended: 1, TxPackets: 15, TxBytes: 1500, RxPackets: 2, RxBytes: 2000}, got[0])
	assert.Len(t, Rates(before, nil, 0, ByWorker), 1, "even where no time has passed")
	assert.Empty(t, Rates(nil, nil, time.Second, ByService))
}
