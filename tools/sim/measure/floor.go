// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
)

// floor is what containerd itself takes for a container with a network: a namespace with one end of a pair of devices that has an address
// and a route, and in it a container, its task, and the start of its process.
type floor struct {
	client *client.Client
	image  client.Image
}

// openFloor finds an image that is there.
func openFloor(ctx context.Context, socket, namespace, ref string) (*floor, context.Context, error) {
	c, err := client.New(socket)
	if err != nil {
		return nil, ctx, fmt.Errorf("reach containerd: %w", err)
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	image, err := c.GetImage(ctx, ref)
	if err != nil {
		_ = c.Close()
		return nil, ctx, fmt.Errorf("find image %s in containerd: %w", ref, err)
	}
	return &floor{c, image}, ctx, nil
}

func (f *floor) close() { _ = f.client.Close() }

// many starts n containers at once, and returns when the last one has started.
func (f *floor) many(ctx context.Context, n int) (took time.Duration, err error) {
	began := time.Now()
	group, within := errgroup.WithContext(ctx)
	ends := make([]func(), n)
	for i := range n {
		group.Go(func() (err error) {
			ends[i], err = f.start(within, i)
			return err
		})
	}
	err = group.Wait()
	took = time.Since(began)
	for _, end := range ends {
		if end != nil {
			end()
		}
	}
	return took, err
}

// start starts one container and returns what takes it away again.
func (f *floor) start(ctx context.Context, n int) (end func(), err error) {
	id := fmt.Sprintf("floor-%d-%d", time.Now().UnixNano(), n)
	removeNetwork, path, err := network(id, n)
	if err != nil {
		return nil, err
	}
	end = removeNetwork
	c, err := f.client.NewContainer(ctx, id, client.WithImage(f.image), client.WithNewSnapshot(id, f.image),
		// As a worker has it: what a container may do, and a limit, costs containerd time by itself.
		client.WithNewSpec(oci.WithDefaultUnixDevices, oci.WithImageConfig(f.image), oci.WithMemoryLimit(64<<20), oci.WithPidsLimit(4096),
			oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: path}), seccomp.WithDefaultProfile()))
	if err != nil {
		return end, fmt.Errorf("create a container: %w", err)
	}
	clean := context.WithoutCancel(ctx)
	end = func() {
		_ = c.Delete(clean, client.WithSnapshotCleanup)
		removeNetwork()
	}
	task, err := c.NewTask(ctx, cio.NullIO)
	if err != nil {
		return end, fmt.Errorf("create a task: %w", err)
	}
	end = func() {
		_, _ = task.Delete(clean, client.WithProcessKill)
		_ = c.Delete(clean, client.WithSnapshotCleanup)
		removeNetwork()
	}
	if err := task.Start(ctx); err != nil {
		return end, fmt.Errorf("start a task: %w", err)
	}
	return end, nil
}

// network makes a network namespace with one end of a pair of devices.
func network(id string, n int) (remove func(), path string, err error) {
	done := make(chan error, 1)
	link := fmt.Sprintf("flr%d", n)
	go func() {
		// The thread ends with this function, as its namespace cannot be trusted any more if something fails.
		runtime.LockOSThread()
		done <- func() error {
			home, err := netns.Get()
			if err != nil {
				return err
			}
			defer func() { _ = home.Close() }()
			ns, err := netns.NewNamed(id) // which also enters it
			if err != nil {
				return err
			}
			defer func() { _ = ns.Close() }()
			inside, err := netlink.NewHandle()
			if err != nil {
				return err
			}
			defer inside.Close()
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "eth0"
			pair := &netlink.Veth{LinkAttrs: attrs, PeerName: link, PeerNamespace: netlink.NsFd(int(home))}
			if err := inside.LinkAdd(pair); err != nil {
				return err
			}
			l, err := inside.LinkByName("eth0")
			if err != nil {
				return err
			}
			addr, err := netlink.ParseAddr(fmt.Sprintf("198.18.%d.2/24", n%250))
			if err != nil {
				return err
			}
			if err := inside.AddrAdd(l, addr); err != nil {
				return err
			}
			if err := inside.LinkSetUp(l); err != nil {
				return err
			}
			return netns.Set(home)
		}()
	}()
	if err := <-done; err != nil {
		_ = netns.DeleteNamed(id)
		return nil, "", fmt.Errorf("make a network for a container: %w", err)
	}
	return func() {
		if l, err := netlink.LinkByName(link); err == nil {
			_ = netlink.LinkDel(l)
		}
		_ = netns.DeleteNamed(id)
	}, "/var/run/netns/" + id, nil
}
