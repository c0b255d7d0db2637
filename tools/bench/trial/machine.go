// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/report"
	"github.com/oakestra/oakestra-ebpf/tools/bench/topology"
)

// Machine says where and on what it is measured: the machine, the tools, and the setups that are built.
func (s *Stage) Machine(version string) (report.Machine, error) {
	m := report.Machine{
		Version: version, At: time.Now().UTC(), CPUs: runtime.NumCPU(), CPU: cpuModel(), Kernel: firstLine("/proc/sys/kernel/osrelease"),
		Clock:      firstLine("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
		Congestion: firstLine("/proc/sys/net/ipv4/tcp_congestion_control"),
		Programs:   map[string]string{}, MTUs: map[string]int{},
	}
	for _, p := range []string{"nft", iptablesRestore} {
		if out, err := exec.Command(p, "--version").Output(); err == nil {
			m.Programs[p] = versionOf(string(out))
		}
	}
	for _, p := range s.setups {
		if p.Way != plan.Hosts {
			mtu, err := containerMTU(p)
			if err != nil {
				return m, err
			}
			m.MTUs[string(p.Way)] = mtu
		}
		if m.Offloads != nil {
			continue
		}
		for _, plain := range []bool{true, false} {
			features, err := p.SetOffloads(!plain)
			if err != nil {
				return m, err
			}
			p.plain = plain
			if plain {
				m.PlainOffloads = enabled(features)
			} else {
				m.Offloads = enabled(features)
			}
		}
	}
	return m, nil
}

// versionOf returns the first word that looks like a version.
func versionOf(text string) string {
	for _, w := range strings.Fields(text) {
		if strings.HasPrefix(w, "v") && strings.ContainsAny(w, "0123456789") {
			return w
		}
	}
	return strings.TrimSpace(text)
}

func containerMTU(p *setup) (mtu int, err error) {
	err = p.Client.Links(func(h *netlink.Handle) error {
		l, err := h.LinkByName("eth0")
		if err != nil {
			return fmt.Errorf("find a container's device: %w", err)
		}
		mtu = l.Attrs().MTU
		return nil
	})
	return mtu, err
}

// enabled lists the features that are on, but for those that every veth has and nothing here changes.
func enabled(features map[string]bool) (out []string) {
	for name, on := range features {
		if on && topology.IsOffload(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// firstLine is what there is to read, or nothing.
func firstLine(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}
