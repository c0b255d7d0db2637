// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/sim/bed"
	"github.com/oakestra/oakestra-ebpf/tools/sim/fleet"
)

// Times of the part: what a start and a login leave behind is given back first.
const (
	settleIdle  = 45 * time.Second
	measureIdle = 60 * time.Second
)

// idle measures what a root and a cluster with two workers take while nothing happens.
func idle(ctx context.Context, o *Options, r *Result) error {
	s, err := raise(ctx, o, bed.Options{}, fleet.Options{Workers: 2})
	if err != nil {
		return err
	}
	defer s.close()
	if err := rest(ctx, settleIdle); err != nil {
		return err
	}
	all, err := during(ctx, measureIdle, s.Root, s.Cluster, s.Postgres)
	if err != nil {
		return err
	}
	r.add("root, resident", mib(all[0].peak), "MiB").atMost(40)
	r.add("root, of a core", 100*all[0].cores, "%").atMost(0.5)
	r.add("cluster, resident", mib(all[1].peak), "MiB").atMost(60)
	r.add("cluster, of a core", 100*all[1].cores, "%").atMost(0.5)
	r.add("Postgres, of a core", 100*all[2].cores, "%")
	return nil
}
