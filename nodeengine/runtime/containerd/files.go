// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// filesDir holds what is mounted into container id.
func (r *Runtime) filesDir(id string) string { return filepath.Join(r.opts.RunDir, "containers", id) }

// runcRoot is where runc keeps its state: a folder of this worker's, since several may share a machine.
func (r *Runtime) runcRoot() string { return filepath.Join(r.opts.RunDir, "runc") }

func hostname(in runtime.Instance) string { return fmt.Sprintf("instance-%d", in.Number) }

// resolvConfFile is resolv.conf(5) among the container's own files.
const resolvConfFile = "resolv.conf"

// writeFiles writes the container's own hosts, hostname and resolv.conf and returns their mounts. Who answers its lookups is written in before
// it starts.
func (r *Runtime) writeFiles(in runtime.Instance) ([]specs.Mount, error) {
	dir := r.filesDir(in.ID())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write container files: %w", err)
	}
	var mounts []specs.Mount
	for _, f := range []struct {
		name    string
		content []byte
	}{
		{"hosts", hosts(in)},
		{"hostname", []byte(hostname(in) + "\n")},
		{resolvConfFile, resolvConf(netip.Addr{}, hostSearch())},
	} {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, f.content, 0o644); err != nil {
			return nil, fmt.Errorf("write container files: %w", err)
		}
		mounts = append(mounts, specs.Mount{Destination: "/etc/" + f.name, Type: "bind", Source: path, Options: []string{"rbind", "rw"}})
	}
	return mounts, nil
}

// writeResolvConf says who answers the container's lookups. The file stays the same one, since it may be mounted already.
func (r *Runtime) writeResolvConf(id string, nameserver netip.Addr) error {
	if err := os.WriteFile(filepath.Join(r.filesDir(id), resolvConfFile), resolvConf(nameserver, hostSearch()), 0o644); err != nil {
		return fmt.Errorf("write container files: %w", err)
	}
	return nil
}

// hosts names the container by its Instance IP, under which others know it.
func hosts(in runtime.Instance) []byte {
	var b bytes.Buffer
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, a := range []netip.Addr{in.Spec.InstanceIP, in.Spec.InstanceIPv6} {
		if a.IsValid() {
			fmt.Fprintf(&b, "%s\t%s\n", a, hostname(in))
		}
	}
	return b.Bytes()
}

// hostResolvConf names the host's resolvers and search domains.
const hostResolvConf = "/etc/resolv.conf"

// resolvConf has a container ask the worker's own name server, which forwards what it does not know to the host's, so that containers
// follow those when they change. Unqualified names mean the same in the container as on the host; names of services have so many dots that
// nothing is appended to them before they are asked for as they are.
func resolvConf(server netip.Addr, search []string) []byte {
	var b bytes.Buffer
	if server.IsValid() {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	return b.Bytes()
}

func hostSearch() []string {
	data, err := os.ReadFile(hostResolvConf)
	if err != nil {
		return nil // a host without one searches nothing either
	}
	return searchOf(data)
}

// searchOf returns the domains that a resolv.conf(5) has appended to names: those of its last line that says so.
func searchOf(conf []byte) (search []string) {
	for s := bufio.NewScanner(bytes.NewReader(conf)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) >= 2 && (f[0] == "search" || f[0] == "domain") {
			search = slices.DeleteFunc(f[1:], func(d string) bool { return d == "." })
		}
	}
	return search
}
