// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// watchPause is how long a watch rests after it has told of a change: a cable that is plugged in makes dozens.
const watchPause = 50 * time.Millisecond

// Watch tells of changes of devices, addresses and routes, without saying which, until ctx ends: the channel holds at most one
// message. It is a hint only: the kernel may drop messages, and the channel is closed if it ends the watch.
func Watch(ctx context.Context) (<-chan struct{}, error) {
	ctx, cancel := context.WithCancel(ctx)
	links, addrs, routes := make(chan netlink.LinkUpdate, 16), make(chan netlink.AddrUpdate, 16), make(chan netlink.RouteUpdate, 16)
	for what, subscribe := range map[string]func() error{
		"devices":   func() error { return netlink.LinkSubscribe(links, ctx.Done()) },
		"addresses": func() error { return netlink.AddrSubscribe(addrs, ctx.Done()) },
		"routes":    func() error { return netlink.RouteSubscribe(routes, ctx.Done()) },
	} {
		if err := subscribe(); err != nil {
			cancel()
			return nil, fmt.Errorf("watch %s: %w", what, err)
		}
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		defer cancel()
		pause := time.NewTimer(0)
		defer pause.Stop()
		news, resting := false, true
		for {
			ok := true
			select {
			case <-pause.C:
				resting = false
			case _, ok = <-links:
				news = true
			case _, ok = <-addrs:
				news = true
			case _, ok = <-routes:
				news = true
			}
			if !ok { // ctx has ended, or the kernel has refused to go on
				drain(links)
				drain(addrs)
				drain(routes)
				return
			}
			if !news || resting {
				continue
			}
			select {
			case changed <- struct{}{}:
			default:
			}
			news, resting = false, true
			pause.Reset(watchPause)
		}
	}()
	return changed, nil
}

// drain has a subscription end, which waits until its message is taken.
func drain[T any](c <-chan T) {
	go func() {
		for range c {
			continue // nobody wants them any more
		}
	}()
}
