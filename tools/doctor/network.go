// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/check"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/pins"
)

// networkChecks are about devices, ports, firewalls and other workers.
func networkChecks() []examination {
	worker := []Role{Worker}
	return []examination{
		{"ports", "whether the ports that the programs listen on, the tunnel's among them, are free or theirs, and else whose they are", Roles(), false, checkPorts},
		{"uplink", "whether there is a device towards other workers, and its MTU against the 1336 bytes that IPv6 in the tunnel takes", worker, false, checkUplink},
		{"path above", "whether packets of the uplink's size reach the cluster, by ICMP echoes that may not be fragmented", worker, false, checkPath},
		{"datapath", "what `oak-net check` says of NetManager's programs and maps, while it runs", worker, false, checkDatapath},
		{"peers", "whether hellos go both ways between this worker and every other that it has to do with, on the tunnel's port, and packets of the uplink's size arrive there", worker, false, checkPeers},
		{"hooks", "whether programs of others are on the uplink (tc, tcx, XDP)", worker, false, checkHooks},
		{"firewall", "whether another firewall drops what the host forwards for containers, or their lookups of names", worker, false, checkFirewall},
		{"sysctls", "forwarding and rp_filter of NetManager's devices, whether settings can be written, and how many ports are left for connections from here", worker, false, checkSysctls},
	}
}

// Bounds of MTUs, in bytes: what IPv6 has to have in the tunnel, and what the tunnel adds over each family.
const (
	insideIPv6 = 1280
	over6      = 56
	leastMTU   = insideIPv6 + over6
)

// uplink finds the device towards other workers as NetManager does: named, or of the default route, or the only one there is.
func (m *machine) uplink() (netlink.Link, error) {
	name := m.net.get("uplink", "", "")
	if name == "" {
		file, _, _ := m.netcfg() // another check says what is wrong with it
		name = file.Uplink
	}
	if name != "" {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return nil, fmt.Errorf("there is no device %s", name)
		}
		return l, nil
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		index, err := defaultRoute(family)
		if err != nil {
			return nil, err
		}
		if index != 0 {
			return netlink.LinkByIndex(index)
		}
	}
	return onlyCandidate()
}

// defaultRoute returns the device of the default route of least metric; 0 if there is none.
func defaultRoute(family int) (index int, err error) {
	routes, err := netlink.RouteList(nil, family)
	if err != nil {
		return 0, fmt.Errorf("list routes: %w", err)
	}
	best := -1
	for _, r := range routes {
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones != 0 {
				continue
			}
		}
		if r.LinkIndex != 0 && (best < 0 || r.Priority < best) {
			best, index = r.Priority, r.LinkIndex
		}
	}
	return index, nil
}

func onlyCandidate() (netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	var found []netlink.Link
	var names []string
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagUp != 0 && a.Flags&net.FlagLoopback == 0 && !strings.HasPrefix(a.Name, "oak-") && len(globals(l)) > 0 {
			found, names = append(found, l), append(names, a.Name)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, errors.New("no device is up and has a global address")
	}
	return nil, fmt.Errorf("there is no default route, and several devices could be it: %s", strings.Join(names, ", "))
}

// globals are the addresses of a device by which others can reach it.
func globals(l netlink.Link) []netip.Addr {
	all, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range all {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.Unmap().IsGlobalUnicast() {
			out = append(out, ip.Unmap())
		}
	}
	return out
}

func denied(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
}

func checkUplink(_ context.Context, m *machine, c *collector) {
	l, err := m.uplink()
	if err != nil {
		c.found("uplink-missing", nil, "no device towards other workers is found: %v", err)
		return
	}
	a := l.Attrs()
	values := fill{"device", a.Name, "mtu", strconv.Itoa(leastMTU)}
	switch {
	case a.Flags&net.FlagUp == 0:
		c.found("uplink-missing", values, "the device towards other workers, %s, is down", a.Name)
	case len(globals(l)) == 0:
		c.found("uplink-missing", values, "the device towards other workers, %s, has no global address", a.Name)
	case a.EncapType != "" && a.EncapType != "ether":
		c.found("uplink-missing", values, "the device towards other workers, %s, carries no Ethernet frames but %s", a.Name, a.EncapType)
	case a.MTU < leastMTU:
		c.found("mtu-low", values, "the MTU of %s is %d, less than the %d that IPv6 in the tunnel takes", a.Name, a.MTU, leastMTU)
	default:
		c.note("%s, MTU %d: %d for containers", a.Name, a.MTU, a.MTU-bpf.Overhead(slices.ContainsFunc(globals(l), netip.Addr.Is4)))
	}
}

// checkPath tries the way to the tier above with the largest packets.
func checkPath(ctx context.Context, m *machine, c *collector) {
	m.above.ask(ctx)
	w := m.above.reached()
	l, err := m.uplink()
	switch {
	case w == nil:
		c.skip("nobody answers there")
		return
	case err != nil:
		c.skip("%v", err)
		return
	case !w.local.IsValid() || w.local == w.remote || w.local.IsLoopback():
		c.skip("it is on this machine")
		return
	}
	n := inspect.Node{Local: w.local, Outer: w.remote}
	n.MTU = uint16(max(l.Attrs().MTU-check.Overhead(n), 0))
	judgeWay(m.above.name, l.Attrs().Name, check.Try(ctx, []inspect.Node{n})[0], c)
}

// judgeWay says whether packets of an uplink's size arrive.
func judgeWay(whom, device string, w check.Way, c *collector) {
	values := fill{"device", device, "mtu", strconv.Itoa(w.Bytes)}
	switch {
	case w.Err != nil:
		c.note("the way to %s was not tried: %v", whom, w.Err)
	case !w.Answered:
		c.note("%s answers no ICMP echo: the way there could not be tried", whom)
	case w.Bytes >= w.Tried:
		c.note("packets of %d bytes reach %s", w.Bytes, whom)
	case w.Told == 0 || w.Bytes < w.Told:
		c.found("path-mtu", values, "packets of %d bytes to %s are lost, and nobody says so; those of %d arrive", w.Tried, whom, w.Bytes)
	case w.Bytes < leastMTU:
		c.found("path-mtu", values, "the way to %s carries %d bytes, less than the %d that IPv6 in the tunnel takes", whom, w.Bytes, leastMTU)
	default:
		c.note("packets of %d bytes reach %s, of larger ones a router says so", w.Bytes, whom)
	}
}

// datapath opens what NetManager has pinned.
func (m *machine) datapath() (*inspect.Reader, error) {
	if _, runs := m.runs(progNet); !runs {
		return nil, errors.New("NetManager does not run")
	}
	w, err := pins.Find(m.bpffs(), m.workerName())
	if err != nil {
		return nil, err
	}
	now, err := inspect.Now()
	if err != nil {
		return nil, err
	}
	return inspect.Open(w, now)
}

// checkDatapath judges what NetManager has loaded, as `oak-net check` does.
func checkDatapath(_ context.Context, m *machine, c *collector) {
	r, err := m.datapath()
	if err != nil {
		c.skip("%v", err)
		return
	}
	defer func() { _ = r.Close() }()
	var v check.View
	read := func(f func() error) {
		if err == nil {
			err = f()
		}
	}
	read(func() (err error) { v.Status, err = r.Status(); return err })
	read(func() (err error) { v.Endpoints, err = r.Endpoints(); return err })
	read(func() (err error) { v.Routes, err = r.Routes(); return err })
	if err != nil {
		c.skip("%v", err)
		return
	}
	if !v.Status.Config.Gateway.IsValid() {
		c.skip("this worker has not joined yet")
		return
	}
	for _, f := range check.Datapath(v) {
		if f.Level == check.Failure || f.Level == check.Warning {
			c.found("datapath", fill{"worker", m.workerName()}, "%s: %s: %s", f.Subject, f.Text, f.Advice)
		}
	}
	c.note("%d programs, maps of %d KiB", len(v.Status.Programs), v.Status.MapBytes>>10)
}

// silence is how long nothing may have come from a peer that is up, in seconds: it is greeted every 15 s and answers.
const silence = 40

// checkPeers judges the other workers by what hellos have shown both ways, and tries the ways there.
func checkPeers(ctx context.Context, m *machine, c *collector) {
	var nodes []inspect.Node
	port, err := m.nodes(&nodes)
	if err != nil {
		c.skip("%v", err)
		return
	}
	if len(nodes) == 0 {
		c.note("no other worker is wanted by anything here")
	}
	var device string
	if l, err := m.uplink(); err == nil {
		device = l.Attrs().Name
	}
	ways := check.Try(ctx, nodes)
	for _, n := range nodes {
		values := fill{"port", strconv.Itoa(port), "peer", n.WorkerID}
		at := netip.AddrPortFrom(n.Outer, n.Port).String()
		switch {
		case n.State == "greeting":
			c.found("peer-unreachable", values, "worker %s was never met: it has answered no hello, or cannot send here", n.WorkerID)
		case n.State != "up" && n.Reason != "":
			c.found("peer-unreachable", values, "worker %s cannot be reached: %s", n.WorkerID, n.Reason)
		case n.State != "up":
			c.found("peer-unreachable", values, "worker %s does not answer at %s", n.WorkerID, at)
		case n.LastHeard == nil || *n.LastHeard > silence:
			c.found("peer-unreachable", values, "nothing comes from worker %s at %s", n.WorkerID, at)
		default:
			c.note("worker %s is up at %s", n.WorkerID, at)
			if w, tried := ways[n.Index]; tried {
				judgeWay("worker "+n.WorkerID, device, w, c)
			}
		}
	}
}

// settle is how long a peer that was just made known has to be met.
const settle = 2 * time.Second

// nodes reads the other workers, giving those that were just made known time to be met, and returns the tunnel's port.
func (m *machine) nodes(into *[]inspect.Node) (port int, err error) {
	for began := time.Now(); ; time.Sleep(settle / 8) {
		r, err := m.datapath()
		if err != nil {
			return 0, err
		}
		s, err := r.Status()
		if err == nil {
			*into, err = r.Nodes()
		}
		_ = r.Close()
		if err != nil {
			return 0, err
		}
		met := true
		for _, n := range *into {
			met = met && n.State == "up"
		}
		if met || time.Since(began) > settle {
			return int(s.Config.TunnelPort), nil
		}
	}
}

// sysctl reads a value below /proc/sys/net; "" if it cannot.
func sysctl(key ...string) string {
	raw, err := os.ReadFile(filepath.Join(append([]string{"/proc/sys/net"}, key...)...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// mends is how long NetManager takes to put back a setting that somebody has changed.
const mends = 3 * time.Second

func checkSysctls(ctx context.Context, m *machine, c *collector) {
	var fs unix.Statfs_t
	if err := unix.Statfs("/proc/sys/net", &fs); err == nil && fs.Flags&unix.ST_RDONLY != 0 {
		c.found("sysctl-read-only", nil, "/proc/sys/net is mounted read-only")
	}
	if _, runs := m.runs(progNet); runs {
		checkDevices(ctx, m, c)
	}
	var low, high int
	if _, err := fmt.Sscan(sysctl("ipv4", "ip_local_port_range"), &low, &high); err == nil {
		free := high - low + 1 - within(sysctl("ipv4", "ip_local_reserved_ports"), low, high)
		const least = 1000
		if free < least {
			c.found("ports-few", nil, "%d ports are left for connections from here: net.ipv4.ip_local_port_range is %d to %d, the rest is in net.ipv4.ip_local_reserved_ports", free, low, high)
		}
		c.note("%d ports for connections from here", free)
	}
}

// checkDevices judges settings of the devices that NetManager has made, once it has had time to mend them.
func checkDevices(ctx context.Context, m *machine, c *collector) {
	wrong := func() (id, device string) {
		const host = "oak-host"
		if strict := sysctl("ipv4", "conf", host, "rp_filter"); strict == "1" || strict == "0" && sysctl("ipv4", "conf", "all", "rp_filter") == "1" {
			return "rp-filter", host
		}
		if l, err := m.uplink(); err == nil && sysctl("ipv4", "conf", l.Attrs().Name, "forwarding") == "0" && sysctl("ipv4", "conf", host, "forwarding") != "" {
			return "forwarding-off", l.Attrs().Name
		}
		return "", ""
	}
	if id, _ := wrong(); id == "" {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(mends):
	}
	switch id, device := wrong(); id {
	case "rp-filter":
		c.found(id, fill{"device", device}, "packets that come by %s are dropped if the host would answer them elsewhere: rp_filter is strict there", device)
	case "forwarding-off":
		c.found(id, fill{"device", device}, "IPv4 packets that come by %s are not passed on: net.ipv4.conf.%s.forwarding is 0", device, device)
	}
}

// within counts the ports of a list such as 1,3-5 that are from low to high.
func within(list string, low, high int) (n int) {
	for part := range strings.SplitSeq(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		b := a
		if ranged {
			b = number(to, a)
		}
		n += max(0, min(b, high)-max(a, low)+1)
	}
	return n
}
