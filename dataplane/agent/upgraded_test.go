// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf/probe"
)

// TestUpgradeUnderTraffic replaces both workers' NetManagers by a build with another layout of maps and back, while 1,000 flows
// carry bytes both ways and as many new connections come up as two processors are good for: no reset, no flow lost, no connection that fails.
func TestUpgradeUnderTraffic(t *testing.T) {
	other := otherBuild(t)
	t.Run("tcx", func(t *testing.T) { upgradeUnderTraffic(t, inIPv4, other, nil) })
	t.Run("clsact", func(t *testing.T) { upgradeUnderTraffic(t, inIPv6, other, []string{probe.TCX}) })
}

func upgradeUnderTraffic(t *testing.T, in family, other string, without []string) {
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	a.cfg.Without, b.cfg.Without = without, without
	c := newCrowd(t, in, 1000, a, b)
	stop := c.newcomers(2000)
	quiet := c.chatter()
	for _, exe := range []string{other, ""} {
		for _, w := range []*worker{a, b} {
			w.kill()
			w.exe = exe
			w.start()
			require.True(t, w.status().Ready)
		}
	}
	spoken, lost := quiet()
	lost += c.say('z')
	opened, failed, slowest := stop()
	t.Logf("%d bytes were answered by %d flows meanwhile; %d new connections, the slowest %v", spoken, len(c.conns), opened, slowest.Round(time.Millisecond))
	require.Zero(t, failed, "new connections failed")
	require.Greater(t, spoken, int64(2*len(c.conns)), "there was hardly any traffic")
	c.held(lost)
}

// chatter has the flows that are held exchange bytes all the time, until stop is called, which tells how many were answered, and how many flows
// were lost.
func (c *crowd) chatter() (stop func() (spoken, lost int64)) {
	const speakers = 4
	var spoken, lost atomic.Int64
	var over atomic.Bool
	var wg sync.WaitGroup
	for i := range speakers {
		wg.Go(func() {
			dead := map[int]bool{}
			for n := i; !over.Load(); n = (n + speakers) % len(c.conns) {
				if dead[n] {
					continue
				}
				if err := pingPong(c.conns[n], 'x'); err != nil {
					c.t.Logf("flow %d from %v: %v", n, c.conns[n].LocalAddr(), err)
					dead[n] = true
					lost.Add(1)
					continue
				}
				spoken.Add(1)
			}
		})
	}
	return func() (int64, int64) {
		over.Store(true)
		wg.Wait()
		return spoken.Load(), lost.Load()
	}
}
