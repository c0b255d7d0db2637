// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// port is one that a program of the role listens on.
type port struct {
	network string // tcp or udp
	number  int
	what    string
	owner   string // program
	flag    string
}

func (m *machine) ports() []port {
	switch m.role {
	case Root:
		return []port{{"tcp", portOf(m.listen()), "root's API", progRoot, "listen"}}
	case Cluster:
		all := []port{{"tcp", portOf(m.listen()), "the cluster's API", progCluster, "listen"}}
		if len(m.own.all("broker", "")) == 0 {
			all = append(all, port{"tcp", portOf(m.own.get("mqtt-listen", "", ":10003")), "the MQTT broker", progCluster, "mqtt-listen"})
		}
		return append(all, port{"udp", portOf(m.own.get("hello-listen", "", ":10003")), "hellos of workers", progCluster, "hello-listen"},
			port{"udp", portOf(m.own.get("other-hello-listen", "", ":10100")), "hellos of workers", progCluster, "other-hello-listen"})
	}
	all := []port{{"udp", m.tunnelPort(), "the overlay's tunnel", progNet, "tunnel-port"}}
	if p := number(m.net.get("port", "p", ""), 0); p != 0 {
		all = append(all, port{"tcp", p, "NetManager's local API", progNet, "port"})
	}
	return all
}

// tunnelDevice is the kernel's end of the tunnel, whose socket has the tunnel's port.
const tunnelDevice = "oak-vx0"

func checkPorts(_ context.Context, m *machine, c *collector) {
	if m.contained {
		c.skip("the programs run in containers, whose ports are published by others")
		return
	}
	tables := map[string][]socket{}
	for _, network := range []string{"tcp", "udp"} {
		tables[network] = listeners(network)
	}
	for _, p := range m.ports() {
		if p.number == 0 {
			continue
		}
		i := slices.IndexFunc(tables[p.network], func(s socket) bool { return s.port == p.number })
		if i < 0 {
			c.note("%s port %d is free", p.network, p.number)
			continue
		}
		who, ours := holder(tables[p.network][i], p)
		if ours {
			c.note("%s port %d is %s's", p.network, p.number, p.owner)
			continue
		}
		c.found("port-taken", fill{"network", p.network, "port", strconv.Itoa(p.number), "program", p.owner, "flag", p.flag},
			"%s port %d, which %s needs for %s, is taken by %s", strings.ToUpper(p.network), p.number, p.owner, p.what, who)
	}
}

// socket is one that takes what comes from anywhere.
type socket struct {
	port  int
	inode uint64
}

// listeners reads the sockets of this network namespace that wait for connections, or of UDP for datagrams of anybody.
func listeners(network string) []socket {
	waits := map[string]string{"tcp": "0A", "udp": "07"}[network]
	var out []socket
	for _, file := range []string{network, network + "6"} {
		f, err := os.Open("/proc/thread-self/net/" + file)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			const local, state, inode = 1, 3, 9
			fields := strings.Fields(lines.Text())
			if len(fields) <= inode || fields[state] != waits {
				continue
			}
			n, err := strconv.ParseUint(fields[local][strings.LastIndexByte(fields[local], ':')+1:], 16, 16)
			if err != nil {
				continue
			}
			node, _ := strconv.ParseUint(fields[inode], 10, 64)
			out = append(out, socket{int(n), node})
		}
		_ = f.Close()
	}
	return out
}

// holder says whose a socket is, and whether that is the program that is meant to have it.
func holder(s socket, p port) (who string, ours bool) {
	if pid, ok := process(s.inode); ok {
		args := readList(pid, "cmdline")
		name := "?"
		if len(args) > 0 {
			name = filepath.Base(args[0])
		}
		return fmt.Sprintf("%s (process %d)", name, pid), name == p.owner
	}
	if device := tunnelOn(p); device != "" {
		return "the kernel's device " + device, device == tunnelDevice
	}
	return "a process that this one may not see, or the kernel", false
}

// process finds a process that has a socket open.
func process(inode uint64) (int, bool) {
	if inode == 0 {
		return 0, false // the kernel's
	}
	want := "socket:[" + strconv.FormatUint(inode, 10) + "]"
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, false
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		open, err := os.ReadDir(procFile(pid, "fd"))
		if err != nil {
			continue
		}
		for _, fd := range open {
			if to, err := os.Readlink(procFile(pid, "fd/"+fd.Name())); err == nil && to == want {
				return pid, true
			}
		}
	}
	return 0, false
}

// tunnelOn returns the name of a VXLAN device that has the port; "" if there is none.
func tunnelOn(p port) string {
	links, err := netlink.LinkList()
	if err != nil || p.network != "udp" {
		return ""
	}
	name := ""
	for _, l := range links {
		if v, ok := l.(*netlink.Vxlan); ok && v.Port == p.number && name != tunnelDevice {
			name = v.Name
		}
	}
	return name
}
