// SPDX-License-Identifier: Apache-2.0

package device

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

func TestDevice(t *testing.T) {
	require.Zero(t, os.Geteuid(), "needs root")
	release, err := testbed.Reserve(t.Context())
	require.NoError(t, err)
	t.Cleanup(release)
	require.NoError(t, underlay.Create(underlay.IPv4, []underlay.Host{{Name: "probe", Address: underlay.IPv4.Address(9, 9)}}))
	t.Cleanup(func() { require.NoError(t, underlay.Delete()) })
	dir, err := os.MkdirTemp("", "oak-walk")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d, err := Start(t.Context(), Options{Host: "probe", Dir: dir, Repository: "../../.."})
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.End() })
	for script, want := range map[string]string{
		"hostname; pwd":                                         "probe\n/root\n",
		"ls /srv/oakestra/go.mod /usr/local/bin":                "/srv/oakestra/go.mod\n\n/usr/local/bin:\n",
		"ls /run /var/lib/docker /var/lib/oakestra":             "/run:\nlock\n\n/var/lib/docker:\n\n/var/lib/oakestra:\n",
		"ps -e -o comm= | head -2":                              "bash\nbash\n",
		"ls /sys/class/net":                                     "eth0\nlo\n",
		"touch /srv/oakestra/x 2>&1":                            "",
		"ls /sys/fs/bpf":                                        "maps.debug\nprogs.debug\n",
		"sed 's/.*://; s,/init,/,' /proc/self/cgroup | sort -u": "/\n",
	} {
		out, err := d.Run(t.Context(), "bash", "-c", script)
		require.NoError(t, err)
		require.Equal(t, want, out, script)
	}
	// What it leaves running goes with it, and so do its control groups.
	out, err := d.Run(t.Context(), "bash", "-c", "touch /etc/oakestra-was-here; setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!")
	require.NoError(t, err)
	require.NotEmpty(t, out)
	require.NoFileExists(t, "/etc/oakestra-was-here")
	require.NoFileExists(t, "../../../x")
	require.NotEmpty(t, d.cgroups)
	require.NoError(t, d.End())
	for _, c := range d.cgroups {
		require.NoDirExists(t, c)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), dir)
}
