// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/pins"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// seen is what is on one worker.
type seen struct {
	worker string
	// tasks are the processes of containers that run, containers all that there are, running or not.
	tasks      map[string]int
	containers []string
	// endpoints, backends and services are what the pinned maps hold.
	endpoints []inspect.Endpoint
	backends  []inspect.Backend
	services  []inspect.Service
}

// readWorker reads a worker's containerd and its maps.
func readWorker(ctx context.Context, t *testbed.Testbed, worker string) (s seen, err error) {
	s.worker = worker
	if s.tasks, err = t.Tasks(ctx, worker); err != nil {
		return s, err
	}
	if s.containers, err = t.AllContainers(ctx, worker); err != nil {
		return s, err
	}
	w, err := pins.Find(pins.DefaultBPFFS, worker)
	if err != nil {
		return s, err
	}
	clock, err := inspect.Now()
	if err != nil {
		return s, err
	}
	r, err := inspect.Open(w, clock)
	if err != nil {
		return s, err
	}
	defer func() { _ = r.Close() }()
	all, err := r.Endpoints()
	if err != nil {
		return s, err
	}
	for _, e := range all {
		if !e.Host {
			s.endpoints = append(s.endpoints, e)
		}
	}
	if s.backends, err = r.Backends(); err != nil {
		return s, err
	}
	s.services, err = r.Services()
	return s, err
}

// copyOf names the copy that a map's entry stands for. Maps write generations with a dot.
func copyOf(service string, number uint32, generation string) instance {
	return instance{service, int(number), strings.Replace(generation, ".", "-", 1)}
}

// addressesOf are those that an endpoint has, by which nobody else may be known.
func addressesOf(e inspect.Endpoint) []string {
	var all []string
	for _, a := range []fmt.Stringer{e.NamespaceIP, e.NamespaceIPv6, e.InstanceIP, e.InstanceIPv6} {
		if text := a.String(); text != "invalid IP" && text != "" {
			all = append(all, text)
		}
	}
	return all
}
