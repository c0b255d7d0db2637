// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// filesDir holds what is mounted into container id.
func (r *Runtime) filesDir(id string) string { return filepath.Join(r.opts.RunDir, "containers", id) }

// runcRoot is where runc keeps its state: a folder of this worker's, since several may share a machine.
func (r *Runtime) runcRoot() string { return filepath.Join(r.opts.RunDir, "runc") }

func hostname(in runtime.Instance) string { return fmt.Sprintf("instance-%d", in.Number) }

// writeFiles writes the container's own hosts, hostname and resolv.conf and returns their mounts.
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
		{"resolv.conf", hostResolvConf()},
	} {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, f.content, 0o644); err != nil {
			return nil, fmt.Errorf("write container files: %w", err)
		}
		mounts = append(mounts, specs.Mount{Destination: "/etc/" + f.name, Type: "bind", Source: path, Options: []string{"rbind", "rw"}})
	}
	return mounts, nil
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

// resolvConfs are the places of the host's resolver configuration, that of systemd-resolved's upstreams first: the other
// names a resolver on the host's loopback, which a container does not reach.
var resolvConfs = [...]string{"/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"}

func hostResolvConf() []byte {
	for _, path := range resolvConfs {
		if data, err := os.ReadFile(path); err == nil {
			return withoutLoopback(data)
		}
	}
	return nil
}

// withoutLoopback drops name servers that only the host itself reaches.
func withoutLoopback(conf []byte) []byte {
	var b bytes.Buffer
	for s := bufio.NewScanner(bytes.NewReader(conf)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) >= 2 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil && a.IsLoopback() {
				continue
			}
		}
		b.WriteString(s.Text() + "\n")
	}
	return b.Bytes()
}
