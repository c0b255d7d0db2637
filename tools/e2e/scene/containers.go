// SPDX-License-Identifier: Apache-2.0

package scene

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// Container is a running container of an instance, as containerd knows it.
type Container struct {
	// ID is "<service>.<number>.<placement>-<move>".
	ID string
	// Worker is the host that runs it.
	Worker  string
	Service string
	Number  int
}

// Containers returns the containers of a service, by asking the containerd of each worker.
func (s *Scene) Containers(ctx context.Context, service string) ([]Container, error) {
	var all []Container
	for _, w := range s.Testbed.Hosts(testbed.RoleWorker) {
		ids, err := s.Testbed.Containers(ctx, w.Name)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			parts := strings.SplitN(id, ".", 3)
			if len(parts) != 3 || parts[0] != service {
				continue
			}
			n, err := strconv.Atoi(parts[1])
			if err != nil {
				continue // not an instance of ours
			}
			all = append(all, Container{ID: id, Worker: w.Name, Service: parts[0], Number: n})
		}
	}
	return all, nil
}

// Client returns the container of the only instance of the client.
func (s *Scene) Client(ctx context.Context) (Container, error) {
	v, err := s.Service(ctx, "client")
	if err != nil {
		return Container{}, err
	}
	all, err := s.Containers(ctx, string(v.ID))
	if err != nil {
		return Container{}, err
	}
	if len(all) != 1 {
		return Container{}, fmt.Errorf("find the client's container: there are %d", len(all))
	}
	return all[0], nil
}

// URL is where hello-server answers at an address.
func URL(address string) string { return "http://" + net.JoinHostPort(address, "80") + "/" }

// CallHost runs hello-client with the given arguments as a process of a host and reads its report.
func (s *Scene) CallHost(ctx context.Context, host string, report any, args ...string) error {
	out, err := s.Testbed.Run(ctx, host, append([]string{filepath.Join(s.bin, "images", ImageClient, ImageClient)}, args...)...)
	if err != nil {
		return fmt.Errorf("call from host %s: %w", host, err)
	}
	if err := json.Unmarshal(out, report); err != nil {
		return fmt.Errorf("read the report of %q: %w: %q", args, err, out)
	}
	return nil
}

// Call runs hello-client with the given arguments inside a container and reads its report.
func (s *Scene) Call(ctx context.Context, in Container, report any, args ...string) error {
	out, err := s.Testbed.ExecIn(ctx, in.Worker, in.ID, append([]string{"/" + ImageClient}, args...)...)
	if err != nil {
		return fmt.Errorf("call from container %s on %s: %w", in.ID, in.Worker, err)
	}
	if err := json.Unmarshal(out, report); err != nil {
		return fmt.Errorf("read the report of %q: %w: %q", args, err, out)
	}
	return nil
}
