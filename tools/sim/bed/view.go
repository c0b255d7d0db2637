// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// The words by which a cluster says how a worker is.
const (
	Ready       = "ready"
	Unavailable = "unavailable"
	Lost        = "lost"
)

// Workers asks the cluster how each worker is, by its id.
func (b *Bed) Workers(ctx context.Context) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.ClusterAPI+"/api/v1/workers", nil)
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for its workers: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for its workers: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var list []struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the cluster for its workers: it answers %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, fmt.Errorf("ask the cluster for its workers: %w", err)
	}
	out := make(map[string]string, len(list))
	for _, w := range list {
		out[w.ID] = w.Status
	}
	return out, nil
}

// CountWorkers counts the workers by how they are.
func (b *Bed) CountWorkers(ctx context.Context) (map[string]int, error) {
	all, err := b.Workers(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, status := range all {
		out[status]++
	}
	return out, nil
}
