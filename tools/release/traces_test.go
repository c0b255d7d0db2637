// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// traces are scripts that list what a program can leave on a machine. What other programs write by themselves (logs, their own data, lists of users as
// they were before the last change) is left out.
var traces = map[string]string{
	"processes":          `for p in /proc/[0-9]*; do readlink $p/exe || true; done | grep -v -E '^/(usr/)?lib/systemd/|/usr/bin/(bash|readlink|grep|sort)$' | sort -u`,
	"users":              `cat /etc/passwd /etc/group; cut -d: -f1 /etc/shadow`,
	"links":              `ip -br link | sed 's/ .*//'; ip -d link show eth0 | sed 's/qlen.*//'; ip addr show eth0`,
	"routes":             `ip route show table all; ip -6 route show table all; ip rule; ip -6 rule`,
	"network namespaces": `ls /run/netns 2>/dev/null || true; lsns -t net -n -o NS | wc -l`,
	"pins":               `find /sys/fs/bpf`,
	"firewall":           `nft list ruleset`,
	"cgroups":            `find /sys/fs/cgroup -type d | grep -i -e oak -e nodeengine -e netmanager -e orchestrator || true`,
	"mounts":             `awk '{ print $2, $3 }' /proc/self/mounts | sort`,
	"units":              `systemctl list-unit-files --no-legend | awk '{ print $1, $2 }'; find /etc/systemd | sort`,
	"containerd":         `ctr namespaces ls -q`,
	"sysctls":            `find /proc/sys/net -type f -readable | grep -v -E 'random|nf_conntrack_count|ns_last_pid|/(oak|veth)[^/]*/|file-nr|sched_|pty/nr|tcp_fastopen_key|stable_secret' | sort | while read -r f; do echo "$f $(tr '\n' ' ' <$f 2>/dev/null || true)"; done`,
	"files": `find / -xdev \( -path /tmp -o -path /var/log -o -path /var/cache -o -path /var/lib/postgresql -o -path /var/lib/systemd -o -path "$HOME/.config" \) -prune -o \
-not -regex '/etc/\(passwd\|group\|shadow\|gshadow\|subuid\|subgid\)-?' -not -path /etc/.pwd.lock -not -path /opt/release -not -path '/opt/release/*' -printf '%p %y %m %u %g %l\n' | sort
find /run -mindepth 1 \( -path /run/systemd -o -path /run/postgresql -o -path /run/containerd -o -path /run/log -o -path /run/udev -o -path /run/dbus -o -path /run/lock -o -path /run/user \) -prune -o -print | sort`,
	"configuration": `find /etc -type f -not -regex '/etc/\(passwd\|group\|shadow\|gshadow\|subuid\|subgid\)-?' -not -path /etc/.pwd.lock -exec sha256sum {} + | sort -k 2`,
	"databases":     `runuser -u postgres -- psql -qAtX -c 'SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles ORDER BY 1'`,
}

// look returns what there is, by kind.
func (w *world) look() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for kind, script := range traces {
		out[kind] = w.on(script)
	}
	if bpftool, err := exec.LookPath("bpftool"); err == nil {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		hooks, err := w.Network(ctx, bpftool, "net", "show")
		require.NoError(w.t, err)
		out["programs on hooks"] = hooks
	}
	return out
}

// same compares all kinds but some: afterwards there is what there was before.
func (w *world) same(before, after map[string]string, but ...string) {
	w.t.Helper()
	require.Equal(w.t, slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	for _, kind := range slices.Sorted(maps.Keys(before)) {
		if slices.Contains(but, kind) {
			continue
		}
		was, is := strings.Split(before[kind], "\n"), strings.Split(after[kind], "\n")
		var more, less []string
		for _, line := range is {
			if !slices.Contains(was, line) {
				more = append(more, line)
			}
		}
		for _, line := range was {
			if !slices.Contains(is, line) {
				less = append(less, line)
			}
		}
		if len(more)+len(less) > 0 {
			w.t.Errorf("%s: there is more:\n  %s\nthere is less:\n  %s", kind, strings.Join(more, "\n  "), strings.Join(less, "\n  "))
		}
	}
}
