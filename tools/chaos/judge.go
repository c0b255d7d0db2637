// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// Verdict is what is true of a testbed: what is wrong, and which process each instance has.
type Verdict struct {
	// Wrong is empty if databases, containerds and maps agree.
	Wrong []string
	// Tasks are the first processes of the containers that run, by the container's id.
	Tasks map[string]int
	want  *wanted
}

// Judge reads databases, containerds and maps, and compares them. An error says that something cannot be read.
func Judge(ctx context.Context, t *testbed.Testbed) (*Verdict, error) { return judge(ctx, t, false) }

// judge is told whether root's database was restored: then clusters may have instances of services that root has forgotten, which are to
// run on.
func judge(ctx context.Context, t *testbed.Testbed, restored bool) (*Verdict, error) {
	want, err := readWanted(ctx, t, restored)
	if err != nil {
		return nil, err
	}
	var all []seen
	for _, w := range t.Hosts(testbed.RoleWorker) {
		s, err := readWorker(ctx, t, w.Name)
		if err != nil {
			return nil, fmt.Errorf("read worker %s: %w", w.Name, err)
		}
		all = append(all, s)
	}
	v := &Verdict{Wrong: want.wrong, Tasks: map[string]int{}, want: want}
	for _, s := range all {
		maps.Copy(v.Tasks, s.tasks)
	}
	v.Wrong = append(v.Wrong, compare(want, all)...)
	slices.Sort(v.Wrong)
	return v, nil
}

// Err returns what is wrong as an error; nil if nothing is.
func (v *Verdict) Err() error {
	if len(v.Wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(v.Wrong, "\n  "))
}

// compare says what is wrong with what is on the workers.
func compare(want *wanted, all []seen) (wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	at := map[instance]inspect.Endpoint{} // of each copy, where it runs
	owner := map[string]string{}          // of each address
	runs := map[string]string{}           // which worker runs an instance, whatever its generation
	for _, s := range all {
		for id := range s.tasks {
			i, ok := parseContainer(id)
			switch {
			case !ok:
				complain("%s runs %s, which is no instance", s.worker, id)
			case want.copies[i] != s.worker:
				complain("%s runs %s, which belongs on %q", s.worker, id, want.copies[i])
			}
			if other, twice := runs[i.key()]; twice {
				complain("instance %s runs twice: on %s and %s", i.key(), other, s.worker)
			}
			runs[i.key()] = s.worker
		}
		for _, id := range s.containers {
			if _, running := s.tasks[id]; !running {
				complain("%s has container %s, which does not run", s.worker, id)
			}
		}
		for _, e := range s.endpoints {
			i := copyOf(e.ServiceID, e.Number, e.Generation)
			if want.copies[i] != s.worker {
				complain("%s has endpoint %s, which belongs on %q", s.worker, i, want.copies[i])
			}
			at[i] = e
			for _, a := range addressesOf(e) {
				if other, taken := owner[a]; taken {
					complain("address %s belongs to %s and to %s", a, other, i)
				}
				owner[a] = i.String()
			}
		}
	}
	named := map[string]string{}
	for _, s := range all {
		for _, service := range s.services {
			for _, a := range service.Addresses {
				if other, taken := named[a.Address.String()]; taken && other != service.ServiceID {
					complain("address %s leads to service %s and to %s", a.Address, other, service.ServiceID)
				}
				named[a.Address.String()] = service.ServiceID
			}
		}
	}
	for i, worker := range want.copies {
		if runs[i.key()] == "" {
			complain("%s does not run on %s", i, worker)
		}
		if _, ok := at[i]; !ok {
			complain("%s has no endpoint on %s", i, worker)
		}
	}
	for _, s := range all {
		wrong = append(wrong, compareRoutes(want, at, s)...)
	}
	return wrong
}

// compareRoutes says where a worker's routes disagree with what runs, wherever that is.
func compareRoutes(want *wanted, at map[instance]inspect.Endpoint, s seen) (wrong []string) {
	complain := func(format string, args ...any) {
		wrong = append(wrong, s.worker+" "+fmt.Sprintf(format, args...))
	}
	listed := map[string]int{}
	for _, b := range s.backends {
		if !b.Listed {
			continue // kept for the flows that it has
		}
		i := copyOf(b.ServiceID, b.Number, b.Generation)
		listed[b.ServiceID]++
		worker, placed := want.copies[i]
		e, attached := at[i]
		switch {
		case !placed || !attached:
			complain("has a route to %s, which is nowhere", i)
		case b.Local != (worker == s.worker) || !b.Local && want.workers[b.WorkerID] != worker:
			complain("has a route to %s at %q, it is on %s", i, want.workers[b.WorkerID], worker)
		case !b.Local && (b.Tag != e.Tag || b.NamespaceIP != e.NamespaceIP || b.NamespaceIPv6 != e.NamespaceIPv6):
			complain("has a route to %s at %s with tag %d, it is at %s with %d", i, b.NamespaceIP, b.Tag, e.NamespaceIP, e.Tag)
		case b.InstanceIP != e.InstanceIP:
			complain("has a route to %s as %s, it is %s", i, b.InstanceIP, e.InstanceIP)
		case !b.Usable:
			complain("cannot use its route to %s on %s", i, worker)
		}
	}
	for _, service := range s.services {
		if n := want.services[service.ServiceID]; listed[service.ServiceID] != n {
			complain("has routes to %d instances of %s, which has %d", listed[service.ServiceID], service.ServiceID, n)
		}
	}
	return wrong
}
