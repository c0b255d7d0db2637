// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/release/machine"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/oci"
)

// sampleImage is what the machine's containerd has, as if it had been pulled.
const sampleImage = "docker.io/library/hello-server:sample"

// world is a machine with the release at /stage/dist and an image at /stage/image.tar.
type world struct {
	*machine.Machine
	t *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("OAK_TEST_INSTALL") == "" {
		t.Skip("make test-install runs it: it makes a Debian, which takes minutes the first time")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, program := range []string{"debootstrap", "unshare", "nsenter", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: install it (make deps)", err)
		}
	}
	stage := t.TempDir()
	require.NoError(t, os.Chmod(stage, 0o755)) //nolint:gosec // for the machine's users
	dist := os.Getenv("OAK_TEST_DIST")         // a release that is there already
	if dist == "" {
		dist = built(t)
	}
	require.NoError(t, os.CopyFS(filepath.Join(stage, "dist"), os.DirFS(dist)))
	makeImage(t, filepath.Join(stage, "image.tar"))
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	debian, err := machine.FileSystem(ctx, filepath.Join(cache, "oakestra", "machine"))
	require.NoError(t, err)
	m, err := machine.Boot(ctx, debian, stage)
	require.NoError(t, err)
	w := &world{m, t}
	t.Cleanup(func() {
		if t.Failed() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			out, _ := m.Run(ctx, `systemctl --no-pager --failed || true; for u in root-orchestrator cluster-orchestrator netmanager nodeengine; do journalctl --no-pager -o cat -n 25 -u $u || true; done`)
			t.Logf("the machine says:\n%s", out)
		}
		require.NoError(t, m.Close())
	})
	// Something to be reached at, as a network card with a cable would be.
	w.on(`ip link add eth0 type veth peer name cable && ip link set cable up && ip link set eth0 up && ip addr add 192.0.2.10/24 dev eth0 && ip route add default via 192.0.2.1`)
	// Routes of link-local addresses come only when these were found to be nobody else's (RFC 4862), which is no trace of ours.
	w.eventually(`test -z "$(ip -6 address show tentative)"`)
	return w
}

// on types a script into the machine, which has to succeed.
func (w *world) on(script string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	out, err := w.Run(ctx, script)
	require.NoError(w.t, err, script)
	return out
}

// eventually has a script succeed, sooner or later.
func (w *world) eventually(script string) string {
	w.t.Helper()
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
		out, err := w.Run(ctx, script)
		cancel()
		if err == nil {
			return out
		}
		if time.Now().After(end) {
			require.NoError(w.t, err, script)
		}
	}
}

func makeImage(t *testing.T, path string) {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "server"), "./tools/images/hello-server")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	image, err := oci.FromDir(dir, []string{"/server"})
	require.NoError(t, err)
	ref, err := name.NewTag(sampleImage)
	require.NoError(t, err)
	require.NoError(t, tarball.WriteToFile(path, ref, image))
}

const sampleApplication = `{"sla_version":"v2.0","customerID":"Admin","applications":[{"applicationID":"","application_name":"app","application_namespace":"test",
"application_desc":"","microservices":[{"microserviceID":"","microservice_name":"web","microservice_namespace":"test","virtualization":"container",
"code":"` + sampleImage + `","memory":64,"vcpus":1,"storage":0,"addresses":{"rr_ip":"10.30.30.30"}}]}]}`

// ready waits until the worker takes instances.
func (w *world) ready() {
	w.t.Helper()
	w.eventually(`NodeEngine status | grep -q '^overlay *ready$' && NodeEngine status | grep -q ', connected$'`)
}

// deploy has an instance run, and asks it something by its service's address.
func (w *world) deploy() {
	w.t.Helper()
	w.ready()
	w.on(`ctr -n oakestra images import --all-platforms /stage/image.tar >/dev/null
oak login --url http://127.0.0.1:10000 --username Admin --password-stdin </etc/oakestra/admin.password
cat >/tmp/app.json <<'EOF'
` + sampleApplication + `
EOF
oak application create -f /tmp/app.json --deploy --wait`)
	w.answers()
}

func (w *world) answers() {
	w.t.Helper()
	got := w.eventually(`exec 3<>/dev/tcp/10.30.30.30/80; printf 'GET / HTTP/1.0\r\n\r\n' >&3; timeout 5 cat <&3`)
	require.Contains(w.t, got, "200 OK")
}

// capabilities holds each process against what its unit says: the user, and no capability beyond the bounding set.
func (w *world) capabilities() {
	w.t.Helper()
	for unit, user := range map[string]string{"root-orchestrator": "oakestra-root", "cluster-orchestrator": "oakestra-cluster", "netmanager": "root", "nodeengine": "root"} {
		out := w.on(`pid=$(systemctl show -P MainPID ` + unit + `); stat -c %U /proc/$pid; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/$pid/status`)
		f := strings.Fields(out)
		require.Equal(w.t, user, f[0], unit)
		require.Equal(w.t, "1", f[len(f)-1], "%s: NoNewPrivs", unit)
		if user != "root" {
			require.Equal(w.t, []string{"CapEff:", "0000000000000000", "CapBnd:", "0000000000000000"}, f[1:5], "%s: %s", unit, out)
			continue
		}
		require.NotEqual(w.t, "000001ffffffffff", f[2], "%s may do everything", unit)
	}
}
