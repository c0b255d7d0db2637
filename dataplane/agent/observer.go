// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/dataplane/peer"
)

// Times of looking for whom to ask where this worker is seen from outside.
const (
	observeEvery  = 2 * time.Second
	lookUpTimeout = time.Second
	lookUpAgain   = time.Minute // the cluster may have moved, whatever its name
)

// sought is what the cluster's observer was last looked for by, and when.
type sought struct {
	id      string
	brokers []string
	at      time.Time
}

// findObserver has the greeter ask the cluster's observer, which answers at the port that the configuration names, at the hosts of
// the cluster's brokers. It does nothing while nothing has changed.
func (a *Agent) findObserver(ctx context.Context) error {
	o := a.overlay.Load()
	a.known.Lock()
	node, identity := a.node, a.identity
	a.known.Unlock()
	if o == nil || node == nil || identity == nil {
		return nil
	}
	if node.Observer == nil {
		return o.peers.SetObserver(peer.Observer{})
	}
	now := time.Now()
	if s := o.sought; s.id == node.Observer.ID && slices.Equal(s.brokers, identity.Brokers) && now.Sub(s.at) < lookUpAgain {
		return nil
	}
	var outer, other []netip.AddrPort
	var errs []error
	for _, b := range identity.Brokers {
		addrs, err := lookUp(ctx, b)
		if err != nil {
			errs = append(errs, err)
		}
		for _, addr := range addrs {
			if at := netip.AddrPortFrom(addr.Unmap(), node.Observer.Port); !slices.Contains(outer, at) {
				outer = append(outer, at)
				other = append(other, netip.AddrPortFrom(at.Addr(), node.Observer.OtherPort)) // left out where there is none
			}
		}
	}
	if len(outer) == 0 {
		return errors.Join(errs...)
	}
	err := o.peers.SetObserver(peer.Observer{ID: node.Observer.ID, PublicKey: node.Observer.PublicKey, Outer: outer, Other: other})
	if err != nil {
		return err
	}
	o.sought = sought{node.Observer.ID, identity.Brokers, now}
	return nil
}

// lookUp returns the addresses of the host in HOST:PORT.
func lookUp(ctx context.Context, hostPort string) ([]netip.Addr, error) {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("read broker %q: %w", hostPort, err)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up the cluster's host %s: %w", host, err)
	}
	return addrs, nil
}
