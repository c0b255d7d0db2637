// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// oursPrefix begins the names of NetManager's programs and filters.
const oursPrefix = "oak_"

func checkHooks(_ context.Context, m *machine, c *collector) {
	l, err := m.uplink()
	if err != nil {
		c.skip("%v", err)
		return
	}
	name := l.Attrs().Name
	for _, look := range []func(netlink.Link, *collector) error{cardPrograms, linkedPrograms, filterPrograms} {
		if err := look(l, c); err != nil {
			c.skip("what is on %s cannot be seen: %v", name, err)
			return
		}
	}
	c.note("nobody else's program is on %s", name)
}

func foreign(c *collector, device, hook, cure, what string) {
	c.found("foreign-program", fill{"cure", cure}, "%s is on %s (%s), and is none of NetManager's", what, device, hook)
}

// programName is a program's name; "" if it is gone.
func programName(id ebpf.ProgramID) (string, error) {
	prog, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) {
		return oursPrefix, nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = prog.Close() }()
	info, err := prog.Info()
	if err != nil {
		return "", err
	}
	return info.Name, nil
}

// cardPrograms looks for an XDP program.
func cardPrograms(l netlink.Link, c *collector) error {
	x := l.Attrs().Xdp
	if x == nil || !x.Attached {
		return nil
	}
	name, err := programName(ebpf.ProgramID(x.ProgId))
	if err == nil && !strings.HasPrefix(name, oursPrefix) {
		device := l.Attrs().Name
		foreign(c, device, "XDP", fmt.Sprintf("ip link set dev %s xdp off", device), fmt.Sprintf("program %q (id %d)", name, x.ProgId))
	}
	return err
}

// linkedPrograms looks for programs of tcx, which kernels before 6.6 have not.
func linkedPrograms(l netlink.Link, c *collector) error {
	for hook, attach := range map[string]ebpf.AttachType{"tcx ingress": ebpf.AttachTCXIngress, "tcx egress": ebpf.AttachTCXEgress} {
		all, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: attach})
		if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, p := range all.Programs {
			name, err := programName(p.ID)
			if err != nil {
				return err
			}
			if strings.HasPrefix(name, oursPrefix) {
				continue
			}
			cure := fmt.Sprintf("bpftool net detach %s id %d dev %s", strings.ReplaceAll(hook, " ", "_"), p.ID, l.Attrs().Name)
			if id, ok := p.LinkID(); ok {
				cure = fmt.Sprintf("bpftool link detach id %d", id)
			}
			foreign(c, l.Attrs().Name, hook, cure, fmt.Sprintf("program %q (id %d)", name, p.ID))
		}
	}
	return nil
}

// filterPrograms looks for tc's filters, BPF programs or not.
func filterPrograms(l netlink.Link, c *collector) error {
	device := l.Attrs().Name
	for hook, parent := range map[string]uint32{"ingress": netlink.HANDLE_MIN_INGRESS, "egress": netlink.HANDLE_MIN_EGRESS} {
		all, err := netlink.FilterList(l, parent)
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) || errors.Is(err, os.ErrNotExist) {
			continue // without a clsact
		}
		if err != nil {
			return err
		}
		for _, f := range all {
			what := "a filter of type " + f.Type()
			if b, ok := f.(*netlink.BpfFilter); ok {
				if strings.HasPrefix(b.Name, oursPrefix) {
					continue
				}
				what = fmt.Sprintf("program %q (id %d)", b.Name, b.Id)
			}
			foreign(c, device, "tc "+hook, fmt.Sprintf("tc filter del dev %s %s pref %d", device, hook, f.Attrs().Priority), what)
		}
	}
	return nil
}
