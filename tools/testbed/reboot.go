// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// Reboot does to a host what a power cut and a start do: every process in it ends at once, workloads included; its links, namespaces,
// mounts, what it has pinned and what it keeps in memory alone are gone. What is on its disk stays. Then all of its components start
// side by side, as at a boot. It returns when they answer, which does not say that they have found their neighbours. Faults of
// its network stay.
func (t *Testbed) Reboot(ctx context.Context, host string) error {
	h, err := t.Host(host)
	if err != nil {
		return err
	}
	if h.Role == RoleRouter {
		return fmt.Errorf("reboot %s: a router's hosts would lose their links; have it forget what it translates instead", host)
	}
	return locked(ctx, func() error {
		s, err := loadState()
		if err != nil {
			return err
		}
		if s == nil {
			return ErrDown
		}
		t := &Testbed{state: s}
		if err := t.powerOff(ctx, h); err != nil {
			return fmt.Errorf("reboot %s: %w", host, err)
		}
		if err := t.powerOn(ctx, h); err != nil {
			return fmt.Errorf("reboot %s: %w", host, err)
		}
		return nil
	})
}

// powerOff ends all that a host does and removes all that it does not keep on its disk.
func (t *Testbed) powerOff(ctx context.Context, h Host) error {
	link, err := h.link()
	if err != nil {
		return err
	}
	groups, err := t.killHost(ctx, h.Name)
	if err != nil {
		return err
	}
	sockets := removeShimSockets(h.Name) // they are found by what is removed below
	return errors.Join(
		sockets,
		os.RemoveAll(filepath.Join(pinDir, h.Name)),
		unmountUnder(run(h.Name)), unmountUnder(t.layout().disk(h.Name)),
		removeCgroups(groups),
		os.RemoveAll(run(h.Name)),
		underlay.Remove(link),
	)
}

// killHost ends every process of a host: those in its network namespace, those that were started for it, and its containers'. It
// returns the cgroups of the latter.
func (t *Testbed) killHost(ctx context.Context, host string) (groups []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for ctx.Err() == nil { // a process may fork while the others are being killed
		found, err := proc.Scan(proc.Marker{Env: envHost + "=" + host, MountDir: t.layout().disk(host), NetNS: []string{underlay.Path(host)}})
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return groups, nil
		}
		for _, id := range found {
			groups = append(groups, containerCgroups(id.PID)...)
		}
		if err := proc.Kill(ctx, found...); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("end the processes of host %s: new ones keep appearing: %w", host, ctx.Err())
}

// powerOn makes a host's network anew and starts its components.
func (t *Testbed) powerOn(ctx context.Context, h Host) error {
	link, err := h.link()
	if err != nil {
		return err
	}
	family := underlay.IPv4
	if link.Address.Is6() {
		family = underlay.IPv6
	}
	if err := os.MkdirAll(run(h.Name), 0o755); err != nil {
		return fmt.Errorf("make the folders of host %s: %w", h.Name, err)
	}
	if err := underlay.Add(family, link); err != nil {
		return err
	}
	delete(t.state.Plain, h.Name) // its uplink is a new one
	if err := t.state.apply(ctx, nil); err != nil {
		return err
	}
	if err := t.state.save(); err != nil {
		return fmt.Errorf("record the testbed: %w", err)
	}
	all, err := components()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range all {
		if c.Host != h.Name {
			continue
		}
		g.Go(func() error {
			if err := c.start(); err != nil {
				return err
			}
			return c.waitReady(ctx)
		})
	}
	return g.Wait()
}
