// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// Bounds of what a report lists.
const (
	maxOrder  = 1000
	maxErrors = 5
)

// tally gathers the outcomes of requests, which may end at once.
type tally struct {
	mu     sync.Mutex
	report hello.GetReport
}

func newTally() *tally {
	return &tally{report: hello.GetReport{Instances: map[string]int{}, Peers: map[string]int{}}}
}

func (t *tally) add(g hello.Greeting, err error, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.report
	r.Requests++
	r.SlowestMS = max(r.SlowestMS, float64(took.Microseconds())/1000)
	if err != nil {
		r.Failed++
		if len(r.Errors) < maxErrors {
			r.Errors = append(r.Errors, err.Error())
		}
		return
	}
	r.Instances[g.Instance]++
	if host, _, err := net.SplitHostPort(g.Peer); err == nil {
		r.Peers[host]++
	}
	if len(r.Order) < maxOrder {
		r.Order = append(r.Order, g.Instance)
	}
}

// get makes o.n requests one after the other, each on a connection of its own.
func get(ctx context.Context, url string, o options) hello.GetReport {
	t := newTally()
	for range o.n {
		t.one(ctx, url, o.timeout)
	}
	return t.report
}

// rate starts o.perSecond requests a second for o.seconds, however long each takes. When ctx ends it begins no more, and waits for those that
// are under way.
func rate(ctx context.Context, url string, o options) hello.GetReport {
	t := newTally()
	tick := time.NewTicker(time.Second / time.Duration(max(1, o.perSecond)))
	defer tick.Stop()
	var wg sync.WaitGroup
	for n := o.perSecond * o.seconds; n > 0 && ctx.Err() == nil; n-- {
		select {
		case <-ctx.Done():
			continue
		case <-tick.C:
		}
		wg.Go(func() { t.one(context.WithoutCancel(ctx), url, o.timeout) })
	}
	wg.Wait()
	t.report.Order = nil // they overlap
	return t.report
}

func (t *tally) one(ctx context.Context, url string, timeout time.Duration) {
	start := time.Now()
	g, err := greet(ctx, url, timeout)
	t.add(g, err, time.Since(start))
}

func greet(ctx context.Context, url string, timeout time.Duration) (hello.Greeting, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return hello.Greeting{}, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return hello.Greeting{}, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return hello.Greeting{}, fmt.Errorf("%s answers %s", url, res.Status)
	}
	var g hello.Greeting
	return g, json.NewDecoder(res.Body).Decode(&g)
}
