// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

const (
	// callsPerSecond is how many new connections a client opens each second to each service that it calls while something breaks.
	callsPerSecond = 20
	// mostCalls bounds how many clients call at once when it is seen who answers.
	mostCalls = 6
	// longestLoad is more than a step takes, the time to converge included.
	longestLoad = 2 * time.Minute
)

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

// program is one that calls in the network namespace of a container. It is no process of the container's, which containerd would have to
// run: that may be dead.
type program struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
	what     string
}

// start starts one, in the mount namespace of the container as well if it is to have the container's resolvers.
func (w *World) start(ctx context.Context, cluster string, pid int, verb, target string, args ...string) (*program, error) {
	path := filepath.Join(w.bin, "images", scene.ImageClient, scene.ImageClient)
	enter := []string{"--net=/proc/" + strconv.Itoa(pid) + "/ns/net"}
	if verb == "lookup" {
		path = "/" + scene.ImageClient
		enter = append(enter, fmt.Sprintf("--mount=/proc/%d/ns/mnt", pid), fmt.Sprintf("--root=/proc/%d/root", pid))
	}
	p := &program{what: fmt.Sprintf("%s %s from the client of %s", verb, target, cluster)}
	p.cmd = exec.CommandContext(ctx, "nsenter", slices.Concat(enter, []string{path, verb, target}, args)...) //nolint:gosec // our own program
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.what, err)
	}
	return p, nil
}

// end waits for the end of the program and reads its report.
func (p *program) end(report any) error {
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", p.what, err, strings.TrimSpace(p.err.String()))
	}
	if err := json.Unmarshal(p.out.Bytes(), report); err != nil {
		return fmt.Errorf("%s: read its report: %w", p.what, err)
	}
	return nil
}

// Answers checks that the client of each cluster gets an answer of every instance of every service, in whichever cluster that is, and of
// nobody else, and that it can look the services of other clusters up by their names.
func (w *World) Answers(ctx context.Context, v *Verdict) error {
	pids, err := w.clients(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(mostCalls)
	for cluster, pid := range pids {
		for _, to := range w.servers() {
			g.Go(func() error { return w.answered(ctx, cluster, pid, to, v.want.services[string(to.ID)]) })
		}
		for other := range w.services {
			if other != cluster {
				g.Go(func() error { return w.named(ctx, cluster, pid, other) })
			}
		}
	}
	return g.Wait()
}

// answered checks that so many instances of a service, and no more, answer a client.
func (w *World) answered(ctx context.Context, cluster string, pid int, to *client.Service, n int) error {
	if n == 0 {
		return nil
	}
	p, err := w.start(ctx, cluster, pid, "get", scene.URL(to.RoundRobin), "-n", strconv.Itoa(3*n), "-timeout", "2s")
	if err != nil {
		return err
	}
	var r hello.GetReport
	if err := p.end(&r); err != nil {
		return err
	}
	if r.Failed > 0 || len(r.Instances) != n {
		return fmt.Errorf("%s calls %s: %d of %d calls failed (%v), answers by instance %v, want %d", cluster, to.Name, r.Failed, r.Requests, r.Errors, r.Instances, n)
	}
	return nil
}

// named checks that a client finds another cluster's steady service by its name.
func (w *World) named(ctx context.Context, cluster string, pid int, other string) error {
	to := w.services[other][serviceSteady]
	name := strings.Join([]string{to.Name, namespace, other, namespace, "oak"}, ".")
	p, err := w.start(ctx, cluster, pid, "lookup", name, "-timeout", "2s")
	if err != nil {
		return err
	}
	var r hello.LookupReport
	if err := p.end(&r); err != nil {
		return err
	}
	if !slices.Equal(r.Answers, []string{to.RoundRobin}) {
		return fmt.Errorf("%s looks %s up: %s %v, want %s", cluster, name, r.Rcode, r.Answers, to.RoundRobin)
	}
	return nil
}

// load has each client call the steady service of its own cluster, and the one that is in all of them, until the returned function is
// called. That one says what failed meanwhile.
func (w *World) load(ctx context.Context) (failures func() error, err error) {
	pids, err := w.clients(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var all []*program
	for cluster, pid := range pids {
		for _, to := range []*client.Service{w.services[cluster][serviceSteady], w.wide} {
			p, err := w.start(ctx, cluster, pid, "rate", scene.URL(to.RoundRobin),
				"-per-second", strconv.Itoa(callsPerSecond), "-seconds", strconv.Itoa(int(longestLoad/time.Second)))
			if err != nil {
				cancel()
				return nil, err
			}
			all = append(all, p)
		}
	}
	return func() error {
		defer cancel()
		var errs []error
		for _, p := range all {
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				errs = append(errs, fmt.Errorf("end %s: %w", p.what, err))
			}
		}
		for _, p := range all {
			var r hello.GetReport
			switch err := p.end(&r); {
			case err != nil:
				errs = append(errs, err)
			case r.Failed > 0:
				errs = append(errs, fmt.Errorf("%s: %d of %d calls failed while what broke had no part in them: %v", p.what, r.Failed, r.Requests, r.Errors))
			case r.Requests == 0:
				errs = append(errs, fmt.Errorf("%s: there was no call", p.what))
			}
		}
		return errors.Join(errs...)
	}, nil
}
