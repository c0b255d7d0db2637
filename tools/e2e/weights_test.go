// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
)

// weights: what a worker reports reaches the programs of another: the load of each instance, and how far those elsewhere are; all workers of
// the testbed are where their cluster is.
func weights(t *testing.T, s *scene.Scene) {
	client, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	type backend struct {
		ServiceID string   `json:"service_id"`
		Local     bool     `json:"local"`
		Load      *uint16  `json:"load"`
		Distance  *uint16  `json:"distance_km"`
		RoundTrip *float64 `json:"round_trip_ms"`
	}
	until(t, 30*time.Second, func(ctx context.Context) error {
		out, err := s.OakNet(ctx, client.Worker, "backend", "-o", "json")
		if err != nil {
			return err
		}
		var all []backend
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		local, far := 0, 0
		for _, b := range all {
			switch {
			case b.ServiceID != string(v.ID):
			case b.Load == nil:
				return fmt.Errorf("the load of an instance is not known: %s", out)
			case b.Local:
				local++
			case b.RoundTrip == nil || b.Distance == nil || *b.Distance != 0:
				return fmt.Errorf("an instance elsewhere has no round trip, or is not where the cluster is: %s", out)
			default:
				far++
			}
		}
		if local == 0 || far == 0 || local+far != len(v.Instances) {
			return fmt.Errorf("%d instances here and %d elsewhere, want %d, some of each: %s", local, far, len(v.Instances), out)
		}
		return nil
	})
}
