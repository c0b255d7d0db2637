// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
)

// TestAStaleRouteIsToldOf: an instance ends, and the cluster cannot say so yet. Its worker says it to whoever sends there, who asks the cluster
// and gives no further connection to it.
func TestAStaleRouteIsToldOf(t *testing.T) {
	eachFamily(t, staleRoute)
}

func staleRoute(t *testing.T, f family) {
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	cable(t, a.ns, b.ns, f)
	a.join()
	b.join()
	k := newTalk(t, f, a, b, func() {})
	dir, err := datapath.MapDir(a.cfg.BPFFS, a.cfg.Name)
	require.NoError(t, err)
	maps, err := bpf.OpenMaps(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, maps.Close()) }()
	chosen := func() (n uint32) {
		var err error
		for _, s := range maps.Services.All(&err) {
			n += s.Count
		}
		require.NoError(t, err)
		return n
	}
	require.EqualValues(t, 1, chosen())

	_, err = b.ask(http.MethodDelete, fmt.Sprintf("/v1/endpoints/%s/1?generation=1.1", serviceID), nil, nil)
	require.NoError(t, err)
	var interest wire.NetInterest
	require.True(t, a.c.last(wire.TopicNetInterest, &interest))
	_, err = k.dial(300 * time.Millisecond)
	require.Error(t, err)
	a.eventually("the instance is passed over", func() bool { return chosen() == 0 })
	a.eventually("the cluster is asked for newer routes", func() bool {
		return a.c.last(wire.TopicNetInterest, &interest) && len(interest.Addresses) > 0 && interest.Addresses[0].Held == wire.Stamp{}
	})
}
