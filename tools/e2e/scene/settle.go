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
	return Until(ctx, settleTimeout, func(ctx context.Context) error {
		var r hello.GetReport
		if err := s.Call(ctx, from, &r, "get", "http://"+address+"/", "-n", fmt.Sprint(2*n)); err != nil {
			return err
		}
		if r.Failed > 0 || len(r.Instances) != n {
			return fmt.Errorf("%d of %d failed (%v); answers by instance %v, want %d", r.Failed, r.Requests, r.Errors, r.Instances, n)
		}
		return nil
	})
}
