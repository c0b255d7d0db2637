// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// callsPerSecond is how many new connections a client opens each second while something breaks.
const callsPerSecond = 20

// clients returns the first process of each cluster's client.
func (w *World) clients(ctx context.Context) (map[string]int, error) {
	pids := map[string]int{}
	for _, h := range w.Testbed.Hosts(testbed.RoleWorker) {
		tasks, err := w.Testbed.Tasks(ctx, h.Name)
		if err != nil {
			return nil, err
		}
		for id, pid := range tasks {
			if i, ok := parseContainer(id); ok && i.service == string(w.services[h.Cluster][serviceClient].ID) {
				pids[h.Cluster] = pid
			}
		}
	}
	if len(pids) != len(w.services) {
		return nil, fmt.Errorf("find the clients: there are those of %d of %d clusters", len(pids), len(w.services))
	}
	return pids, nil
}

// call has a program in the network namespace of a process call steady in its cluster. It is no process of the container's, which
// containerd would have to run: that may be dead.
func (w *World) call(ctx context.Context, cluster string, pid int, verb string, args ...string) (r hello.GetReport, err error) {
	argv := append([]string{"--net=/proc/" + strconv.Itoa(pid) + "/ns/net", filepath.Join(w.bin, "images", scene.ImageClient, scene.ImageClient),
		verb, scene.URL(w.services[cluster][serviceSteady].RoundRobin)}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", argv...) //nolint:gosec // our own program
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return r, fmt.Errorf("call from the client of %s: %w", cluster, err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("read what the client of %s has seen: %w", cluster, err)
	}
	return r, nil
}

// Answers checks that each cluster's client gets an answer of every instance of steady, and of nobody else.
func (w *World) Answers(ctx context.Context) error {
	pids, err := w.clients(ctx)
	if err != nil {
		return err
	}
	for cluster, pid := range pids {
		r, err := w.call(ctx, cluster, pid, "get", "-n", strconv.Itoa(3*begin[serviceSteady]), "-timeout", "2s")
		if err != nil {
			return err
		}
		if r.Failed > 0 || len(r.Instances) != begin[serviceSteady] {
			return fmt.Errorf("%s: %d of %d calls failed (%v), answers by instance %v", cluster, r.Failed, r.Requests, r.Errors, r.Instances)
		}
	}
	return nil
}

// load has the clients call steady for so many seconds, and returns a function that waits for the end and says what failed.
func (w *World) load(ctx context.Context, seconds int) (failures func() error, err error) {
	pids, err := w.clients(ctx)
	if err != nil {
		return nil, err
	}
	done := make(chan error, len(pids))
	for cluster, pid := range pids {
		go func() {
			r, err := w.call(ctx, cluster, pid, "rate", "-per-second", strconv.Itoa(callsPerSecond), "-seconds", strconv.Itoa(seconds))
			if err == nil && r.Failed > 0 {
				err = fmt.Errorf("%s: %d of %d calls failed while what broke had no part in them: %v", cluster, r.Failed, r.Requests, r.Errors)
			}
			done <- err
		}()
	}
	return func() error {
		var errs []error
		for range pids {
			errs = append(errs, <-done)
		}
		return errors.Join(errs...)
	}, nil
}
