// SPDX-License-Identifier: Apache-2.0

package expose

import (
	"fmt"
	"os"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// localPortRange are the ports that the kernel gives to sockets that ask for any.
const localPortRange = "/proc/sys/net/ipv4/ip_local_port_range"

// Used returns the ports that no instance can have here, for schedulers: those of the platform and those that processes of the host
// listen on. UDP ports that the kernel has given out by itself are left out: those that ask come and go with each question to a
// name server, and [Table.Claim] looks at all of them anyway.
func (t *Table) Used() (wire.HostPorts, error) {
	used, err := t.listening()
	if err != nil {
		return wire.HostPorts{}, err
	}
	var lo, hi uint16
	text, err := os.ReadFile(localPortRange)
	if err != nil {
		return wire.HostPorts{}, fmt.Errorf("read the range of local ports: %w", err)
	}
	if _, err := fmt.Sscan(string(text), &lo, &hi); err != nil {
		return wire.HostPorts{}, fmt.Errorf("read the range of local ports: %w", err)
	}
	used.UDP = slices.DeleteFunc(used.UDP, func(p uint16) bool { return lo <= p && p <= hi })
	blocked := t.cfg.Blocked()
	return wire.HostPorts{TCP: merge(used.TCP, blocked.TCP), UDP: merge(used.UDP, blocked.UDP)}, nil
}

func merge(a, b []uint16) []uint16 {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

// listening returns the ports on which processes of the host take packets to its own addresses.
func (t *Table) listening() (wire.HostPorts, error) {
	all, err := sockets()
	if err != nil {
		return wire.HostPorts{}, err
	}
	var out wire.HostPorts
	own := t.cfg.Own()
	for _, s := range all {
		switch {
		case !s.covers(own):
		case s.protocol == wire.ProtocolUDP:
			out.UDP = append(out.UDP, s.addr.Port())
		default:
			out.TCP = append(out.TCP, s.addr.Port())
		}
	}
	out.TCP, out.UDP = merge(out.TCP, nil), merge(out.UDP, nil)
	return out, nil
}

// Check puts back what others have taken away, and tells of processes that have begun to listen on a port that is exposed: they get
// nothing of what comes from outside.
func (t *Table) Check() error {
	if err := t.Settle(); err != nil {
		return err
	}
	used, err := t.listening()
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, e := range t.held {
		_, told := t.clashes[s]
		switch listens := used.Has(e.Port); {
		case listens && !told:
			t.clashes[s] = struct{}{}
			t.cfg.Log.Warn("a process of this worker listens on a port that is exposed for an instance: from outside only one of them is reached",
				"port", e.Port.String(), "instance", e.InstanceKey.String())
		case !listens && told:
			delete(t.clashes, s)
		}
	}
	for s := range t.clashes {
		if _, is := t.held[s]; !is {
			delete(t.clashes, s)
		}
	}
	return nil
}
