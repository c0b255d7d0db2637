// SPDX-License-Identifier: Apache-2.0

package uplink

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Overlay tells root what other clusters have to know of this one.
func (c *Client) Overlay(ctx context.Context, m *wire.ClusterOverlay) (ack wire.ClusterOverlayAck, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := c.do(ctx, http.MethodPost, c.path(wire.PathClusterOverlay), "", m, &ack); err != nil {
		return ack, fmt.Errorf("tell root of the overlay: %w", err)
	}
	return ack, nil
}

// Abroad asks for what this cluster has to know of others and does not hold yet, waiting up to wait for it. Without news the answer names
// the same as held.
func (c *Client) Abroad(ctx context.Context, held string, wait time.Duration) (*wire.ClusterAbroad, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+slack)
	defer cancel()
	q := url.Values{"held": {held}, "wait": {wait.String()}}
	var m wire.ClusterAbroad
	if err := c.do(ctx, http.MethodGet, c.path(wire.PathClusterAbroad)+"?"+q.Encode(), "", nil, &m); err != nil {
		return nil, fmt.Errorf("ask root for what other clusters offer: %w", err)
	}
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("read what other clusters offer: %w", err)
	}
	return &m, nil
}
