// SPDX-License-Identifier: Apache-2.0

package scene

import (
	"context"
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// settleTimeout is how long a worker may take to learn a service and to meet the workers that run it.
const settleTimeout = 10 * time.Second

// Settle has a container call a service until n instances have answered. A worker learns a service at the first call and
// then greets the workers that it has not met; until they answer, it chooses among the instances that it can reach.
func (s *Scene) Settle(ctx context.Context, from Container, address string, n int) error {
	return settle(ctx, address, n, func(ctx context.Context, r *hello.GetReport, args ...string) error {
		return s.Call(ctx, from, r, args...)
	})
}

// SettleHost does so with a process of a host.
func (s *Scene) SettleHost(ctx context.Context, host, address string, n int) error {
	return settle(ctx, address, n, func(ctx context.Context, r *hello.GetReport, args ...string) error {
		return s.CallHost(ctx, host, r, args...)
	})
}

func settle(ctx context.Context, address string, n int, call func(ctx context.Context, r *hello.GetReport, args ...string) error) error {
	return Until(ctx, settleTimeout, func(ctx context.Context) error {
		var r hello.GetReport
		if err := call(ctx, &r, "get", URL(address), "-n", fmt.Sprint(2*n)); err != nil {
			return err
		}
		if r.Failed > 0 || len(r.Instances) != n {
			return fmt.Errorf("%d of %d failed (%v); answers by instance %v, want %d", r.Failed, r.Requests, r.Errors, r.Instances, n)
		}
		return nil
	})
}
