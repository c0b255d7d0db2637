// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
)

// awaitRoot returns once root knows of every worker, as far as it knows of any: as a count in a cluster's aggregate.
func (t *Testbed) awaitRoot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := client.New(client.Options{URL: t.state.API.URL, UserAgent: "oak-testbed"})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Login(ctx, t.state.API.Username, t.state.API.Password, ""); err != nil {
		return fmt.Errorf("log in at root: %w\n  log: %s", err, t.LogFile(progRoot+"@"+rootHost))
	}
	want := map[string]int{}
	for _, h := range t.Hosts(RoleCluster) {
		want[h.Name] = 0
	}
	for _, h := range t.Hosts(RoleWorker) {
		want[h.Cluster]++
	}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		all, err := c.Clusters(ctx)
		missing := "root does not tell of its clusters"
		if err == nil {
			if missing = lacking(want, all); missing == "" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for root to know all workers: %s (%w); logs are in %s", missing, ctx.Err(), t.layout().logs())
		case <-time.After(pause):
		}
	}
}

// lacking says which cluster root does not know, or with fewer workers than wanted; "" if none.
func lacking(want map[string]int, all []client.Cluster) string {
	known := map[string]int{}
	for _, c := range all {
		if !c.Active {
			continue
		}
		runtimes := map[string]int{} // a worker counts once for each of its runtimes
		for _, g := range c.Aggregate.Groups {
			runtimes[g.Runtime] += g.Workers
		}
		known[c.Name] = 0
		for _, n := range runtimes {
			known[c.Name] = max(known[c.Name], n)
		}
	}
	for name, n := range want {
		if have, ok := known[name]; !ok {
			return fmt.Sprintf("cluster %s is not active", name)
		} else if have < n {
			return fmt.Sprintf("cluster %s has %d of %d workers", name, have, n)
		}
	}
	return ""
}
