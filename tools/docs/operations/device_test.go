// SPDX-License-Identifier: Apache-2.0

package operations

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// devices makes shells on the hosts of a testbed, as their administrators see them: programs installed, their settings under /etc/oakestra,
// and systemd, for which a script stands that does to the testbed's processes what systemctl would do to units,
// and another for sudo.
type devices struct {
	scene *scene.Scene
	path  string
	files map[string]string // files below /etc/oakestra
}

func newDevices(t *testing.T, s *scene.Scene) *devices {
	t.Helper()
	d := &devices{scene: s, files: map[string]string{
		"root-orchestrator.env":    fmt.Sprintf("OAK_ROOT_DATABASE=%q\nOAK_ROOT_SECRETS_KEY_FILE=%q\n", s.Testbed.DatabaseURL("root"), secretsKey),
		"cluster-orchestrator.env": fmt.Sprintf("OAK_DATABASE=%q\n", s.Testbed.DatabaseURL("c1")),
		"admin.password":           s.Testbed.API().Password + "\n",
	}}
	tools := t.TempDir()
	// The testbed's processes are to be born into this machine's mounts, not into those of one shell.
	require.NoError(t, os.WriteFile(filepath.Join(tools, "systemctl"), []byte(fmt.Sprintf(`#!/bin/sh
set -eu
action=$1; shift
for unit; do
	case $unit in
	root-orchestrator|cluster-orchestrator) component=$unit ;;
	nodeengine) component=NodeEngine ;;
	netmanager) component=NetManager ;;
	*) echo "systemctl: no unit $unit" >&2; exit 5 ;;
	esac
	case $action in
	stop) said=$(nsenter --mount=/proc/%[1]d/ns/mnt oak-testbed fault kill "$component@$OAK_TESTBED_HOST" 2>&1) || # what does not run is stopped
		case $said in *"process is gone"*) ;; *) echo "$said" >&2; exit 1 ;; esac ;;
	start|restart) nsenter --mount=/proc/%[1]d/ns/mnt oak-testbed fault restart "$component@$OAK_TESTBED_HOST" ;;
	*) echo "systemctl: no action $action" >&2; exit 5 ;;
	esac
done
`, os.Getpid())), 0o700)) //nolint:gosec // a program
	// The testbed's Postgres is root's: whoever is named is not on this machine.
	require.NoError(t, os.WriteFile(filepath.Join(tools, "sudo"), []byte(`#!/bin/sh
[ "$1 $2" = "-E -u" ] || { echo "sudo: $*: not what the documents say" >&2; exit 1; }
case $3 in oakestra-root|oakestra-cluster) ;; *) echo "sudo: no user $3" >&2; exit 1 ;; esac
shift 3
exec "$@"
`), 0o700)) //nolint:gosec // a program
	d.path = tools + ":" + repoBin(t) + ":" + os.Getenv("PATH")
	return d
}

// secretsKey is where the testbed's root has its key.
const secretsKey = testbed.DefaultDir + "/hosts/root/secrets.key"

// on returns a shell on a host, in a folder of its own. What it writes below /etc is gone with it.
func (d *devices) on(t *testing.T, host string, fill map[string]string) blocks.Shell {
	t.Helper()
	settings := t.TempDir()
	for name, text := range d.files {
		require.NoError(t, os.WriteFile(filepath.Join(settings, name), []byte(text), 0o600))
	}
	const mount = `set -e; over=$1; settings=$2; shift 2
mount -t tmpfs none "$over"; mkdir -p "$over/upper/oakestra" "$over/work"; cp "$settings"/* "$over/upper/oakestra/"
mount -t overlay -o "lowerdir=/etc,upperdir=$over/upper,workdir=$over/work" overlay /etc
exec "$@"`
	return blocks.Shell{
		Prefix: []string{"unshare", "--mount", "--propagation", "slave", "sh", "-c", mount, "sh", t.TempDir(), settings,
			filepath.Join(repoBin(t), "oak-testbed"), "exec", host, "--"},
		Dir: t.TempDir(), Fill: fill, Within: 90 * time.Second,
		Env: []string{"PATH=" + d.path, "HOME=" + t.TempDir(), "LANG=C.UTF-8", "TERM=dumb"},
	}
}

func repoBin(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join(repo, "bin"))
	require.NoError(t, err)
	return bin
}
