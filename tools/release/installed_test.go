// SPDX-License-Identifier: Apache-2.0

package release

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOneCommandMakesAMachineOfIt installs everything on a fresh Debian under systemd, with one command and no network, deploys, and takes it away
// again: everything is as it was.
func TestOneCommandMakesAMachineOfIt(t *testing.T) {
	w := newWorld(t)
	w.on(`mkdir /opt/release && tar -xzf /stage/dist/oakestra_` + thisArch(t).Name + `.tar.gz -C /opt/release --strip-components 1`)
	before := w.look()
	plan := w.on(`/opt/release/oak install full --name c1 --dry-run`)
	require.Contains(t, plan, "# nothing was done")
	w.same(before, w.look())

	began := time.Now()
	w.on(`/opt/release/oak install full --name c1 --location 48.26,11.67,1000`)
	w.ready()
	t.Logf("from oak install full to a worker that takes instances: %s", time.Since(began).Round(100*time.Millisecond))
	w.deploy()
	w.capabilities()
	require.Empty(t, w.on(`systemd-analyze verify {root,cluster}-orchestrator.service netmanager.service nodeengine.service`))
	t.Log(w.on(`for u in root-orchestrator cluster-orchestrator netmanager nodeengine; do systemd-analyze security $u | tail -n 1; done`))

	t.Run("a second time nothing is new", func(t *testing.T) {
		out := w.on(`/opt/release/oak install full --name c1 --no-start`)
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "install ") || strings.Contains(line, "psql") || strings.HasPrefix(line, "useradd") || strings.HasPrefix(line, "set ") {
				require.Contains(t, line, "# is so already")
			}
		}
		w.answers()
	})
	t.Run("what is killed starts again, and workloads go on", func(t *testing.T) {
		const workload = `ctr -n oakestra tasks ls | awk 'NR == 2 { print $2 }'`
		pid := w.on(workload)
		require.NotEmpty(t, strings.TrimSpace(pid))
		w.on(`systemctl kill -s KILL netmanager nodeengine cluster-orchestrator root-orchestrator`)
		w.eventually(`root-orchestrator health && cluster-orchestrator health`)
		w.ready()
		w.answers()
		require.Equal(t, pid, w.on(workload))
	})

	refused := w.on(`if oak uninstall full --purge </dev/null 2>&1; then exit 1; fi`)
	require.Contains(t, refused, "--yes")
	w.answers()

	id := w.on(`NodeEngine status | awk '$1 == "worker"'`)
	w.on(`cp /usr/local/bin/oak /tmp/oak && /tmp/oak uninstall full`)
	// What it has stored stays, and no more.
	w.same(before, w.look(), "users", "configuration", "databases", "files")
	require.Empty(t, w.on(`find / -xdev -not -path '/opt/release*' -not -path '/tmp/*' -not -path '/var/log/*' -newer /opt/release/oak \( -iname '*oak*' -o -name 'NodeEngine*' -o -name 'NetManager*' -o -name '*-orchestrator*' \) | grep -v -e '^/etc/oakestra' -e '^/var/lib/oakestra' -e '^/root/.config/oak' || true`))
	w.on(`/opt/release/oak install full`) // the rest is known
	w.ready()
	require.Equal(t, id, w.on(`NodeEngine status | awk '$1 == "worker"'`), "it is the same worker")
	w.on(`ctr -n oakestra images import --all-platforms /stage/image.tar >/dev/null`)
	w.answers()

	w.on(`/tmp/oak uninstall full --purge --yes && rm -f /tmp/oak`)
	w.same(before, w.look())
}

// TestPackages installs the Debian packages on a fresh Debian, has their units run everything, replaces them, and removes them.
func TestPackages(t *testing.T) {
	w := newWorld(t)
	before := w.look()
	w.on(`dpkg -i /stage/dist/*.deb`)
	require.Contains(t, w.on(`systemctl is-enabled root-orchestrator || true`), "disabled", "nothing starts before it is configured")
	w.on(`oak install full --name c1`)
	w.eventually(`test "$(readlink /proc/$(systemctl show -P MainPID nodeengine)/exe)" = /usr/bin/NodeEngine`) // once systemd's child has become it
	require.Equal(t, "/lib/systemd/system/nodeengine.service\n", w.on(`systemctl show -P FragmentPath nodeengine`))
	w.deploy()
	w.capabilities()

	t.Run("an upgrade keeps configuration and workloads", func(t *testing.T) {
		pid := w.on(`ctr -n oakestra tasks ls | awk 'NR == 2 { print $2 }'`)
		engine := w.on(`systemctl show -P MainPID nodeengine`)
		w.on(`echo '# mine' >>/etc/oakestra/nodeengine.env && dpkg -i --force-confold /stage/dist/*.deb`)
		require.Contains(t, w.on(`cat /etc/oakestra/nodeengine.env`), "# mine")
		w.ready()
		w.answers()
		require.Equal(t, pid, w.on(`ctr -n oakestra tasks ls | awk 'NR == 2 { print $2 }'`))
		require.NotEqual(t, engine, w.on(`systemctl show -P MainPID nodeengine`), "the new program runs")
	})

	require.Contains(t, w.on(`if oak uninstall worker 2>&1; then exit 1; fi`), "apt-get remove oakestra-nodeengine")
	w.on(`dpkg --purge oakestra-nodeengine oakestra-netmanager oakestra-cluster-orchestrator oakestra-root-orchestrator oakestra-cli`)
	// Databases are their owners', users stay as with all packages, dpkg has lists of its own.
	w.same(before, w.look(), "users", "configuration", "databases", "files")
	require.Empty(t, w.on(`ls -d /etc/oakestra /etc/netmanager /var/lib/oakestra /usr/bin/{NodeEngine,NetManager,oak,oak-net,root-orchestrator,cluster-orchestrator} 2>/dev/null || true`))
}
