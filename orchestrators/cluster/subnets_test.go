// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
)

// A worker that finds no subnet free is taken in as soon as root has leased some, for which it is asked at once.
func TestJoinWaitsForSubnets(t *testing.T) {
	b := newBed(t)
	b.ready()
	b.root.change(func() { b.root.subnets = subnets(1) })
	eventually(t, "one subnet", func() bool {
		b.root.mu.Lock()
		defer b.root.mu.Unlock()
		return b.root.free == 1
	})
	b.worker("one")
	eventually(t, "root leases what is asked for", func() bool {
		token := b.workerToken()
		key, err := pki.NewKey()
		require.NoError(t, err)
		done := make(chan int)
		go func() {
			_, status, _ := b.postJoin(token, "two", key)
			done <- status
		}()
		for {
			select {
			case status := <-done: // the machine was too slow: once more
				return status == http.StatusOK
			case <-time.After(5 * time.Millisecond):
			}
			b.root.mu.Lock()
			asked := b.root.free == 0 && b.root.wanted > 0
			b.root.mu.Unlock()
			if asked {
				b.root.change(func() { b.root.subnets = subnets(3) })
			}
		}
	})
}

func TestDemand(t *testing.T) {
	d, now := newDemand(), time.Unix(1_000_000, 0)
	require.Zero(t, d.wanted(now))
	for n := range 100 {
		d.joined(now.Add(time.Duration(n) * 20 * time.Millisecond))
	}
	now = now.Add(1980 * time.Millisecond)
	require.Equal(t, 51, d.wanted(now), "those of the last second")
	d.waiting = 3
	require.Equal(t, 54, d.wanted(now))
	require.Equal(t, 3, d.wanted(now.Add(time.Minute)))
	came := d.came
	d.leased()
	<-came
}
