// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/schema"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// TestSeveralRootsServeAtOnce: whoever is asked, by whomever, each time another one, the answer is the same.
func TestSeveralRootsServeAtOnce(t *testing.T) {
	url := pgtest.New(t)
	first := startOn(t, url, semantic.DefaultRanges())
	second := startOn(t, url, semantic.DefaultRanges())
	c := first.joinWith("c1", 4)
	before := c.desired(wire.Stamp{}, 0).Stamp
	service := first.register(first.admin, "app", map[string]any{})

	// A query that one holds is woken by what another does, under one epoch.
	c.s = second
	woken := make(chan *wire.ClusterDesired, 1)
	go func() { woken <- c.desired(before, 20*time.Second) }()
	time.Sleep(300 * time.Millisecond) // let it wait; if it does not yet, it is answered all the same
	begin := time.Now()
	first.deploy(service)
	d := <-woken
	t.Logf("woken after %s", time.Since(begin))
	require.Less(t, time.Since(begin), 3*time.Second, "by the notice, not by the poll")
	require.Equal(t, before.Epoch, d.Epoch, "the second has not begun another epoch")
	require.False(t, d.Full)
	require.Len(t, d.Changed, 1)

	// A token of one is good for the other; reports go to either, in turn.
	second.admin = first.admin
	key := wire.InstanceKey{ServiceID: service}
	for i, state := range []wire.State{wire.StateNodeScheduled, wire.StateCreating, wire.StateCreated, wire.StateRunning} {
		c.s = []*system{first, second}[i%2]
		c.say(key, 1, 1, state)
		require.Equal(t, state, []*system{second, first}[i%2].instances(service)[0].Status)
	}

	// One goes; the other one takes over what is left to do.
	unplaced := first.register(first.admin, "late", map[string]any{"vcpus": 3})
	first.deploy(unplaced)
	first.stop()
	c.s = second
	r := c.full(4)
	c.report(r)
	require.Eventually(t, func() bool { return second.instances(unplaced)[0].ClusterID == c.id }, 10*time.Second, 50*time.Millisecond)
	require.Equal(t, before.Epoch, c.desired(wire.Stamp{}, 0).Epoch)
}

// TestRootsStartAndDeployAtOnce: an empty database that several processes set up, and then all write to, holds each thing once.
func TestRootsStartAndDeployAtOnce(t *testing.T) {
	url := pgtest.New(t)
	const roots, deploys = 3, 12
	var starting errgroup.Group
	for range roots {
		starting.Go(func() error {
			pool, err := store.Open(t.Context(), url, schema.Files(), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer pool.Close()
			r, err := New(t.Context(), pool, Config{Ranges: semantic.DefaultRanges(), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			if err := r.Run(gone); err != nil {
				return err
			}
			_, err = r.Users().EnsureAdmin(t.Context(), password)
			return err
		})
	}
	require.NoError(t, starting.Wait())
	all := make([]*system, roots)
	for i := range all {
		all[i] = startOn(t, url, semantic.DefaultRanges())
	}
	all[0].joinWith("c1", 40)
	service := all[0].register(all[0].admin, "app", map[string]any{})
	var wg sync.WaitGroup
	for i := range deploys {
		wg.Go(func() {
			s := all[i%roots]
			status, body, err := request(http.DefaultClient, all[0].admin, http.MethodPost, s.plain+"/api/service/"+service+"/instance", nil)
			if err != nil || status != 200 {
				t.Errorf("deploy by root %d: %d %v %v", i%roots, status, body, err)
			}
		})
	}
	wg.Wait()
	list := all[1].instances(service)
	require.Len(t, list, deploys)
	numbers, addresses := map[int]bool{}, map[string]bool{}
	for _, i := range list {
		numbers[i.Number], addresses[fmt.Sprint(i.InstanceIP)] = true, true
		require.Equal(t, wire.StateClusterScheduled, i.Status)
	}
	require.Len(t, numbers, deploys)
	require.Len(t, addresses, deploys)
}
