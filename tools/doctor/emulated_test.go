// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/doctor"
)

// programs are what a release has for each architecture.
var programs = []string{"tools/cmd/oak", "dataplane/cmd/NetManager", "nodeengine/cmd/NodeEngine", "orchestrators/cmd/root-orchestrator", "orchestrators/cmd/cluster-orchestrator"}

// TestProgramsOfOtherArchitectures runs the programs for 64- and 32-bit ARM under qemu-user, far enough to tell their version, and oak doctor
// to its end: it names the emulation and makes nothing up about the kernel below.
func TestProgramsOfOtherArchitectures(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the emulators are those of amd64")
	}
	for arch, emulator := range map[string]string{"arm64": "qemu-aarch64-static", "arm": "qemu-arm-static"} {
		t.Run(arch, func(t *testing.T) {
			qemu, err := exec.LookPath(emulator)
			require.NoError(t, err, "run make deps")
			dir := t.TempDir()
			build(t, arch, dir)
			for _, p := range programs {
				name := filepath.Base(p)
				out, err := emulate(t, qemu, filepath.Join(dir, name), "version")
				require.NoError(t, err, name)
				require.Equal(t, name+" v0-emulated\n", string(out))
			}
			for _, role := range doctor.Roles() {
				out, err := emulate(t, qemu, filepath.Join(dir, "oak"), "doctor", string(role), "-v", "-o", "json", "--timeout", "30s")
				var exit *exec.ExitError
				require.True(t, err == nil || errors.As(err, &exit) && exit.ExitCode() == 1, "%s: %v", role, err)
				var r doctor.Report
				require.NoError(t, json.Unmarshal(out, &r), string(out))
				if role == doctor.Worker {
					judge(t, r)
				}
			}
		})
	}
}

// judge holds that the worker's report tells of the emulation, and leaves out what would follow from it.
func judge(t *testing.T, r doctor.Report) {
	t.Helper()
	found := map[string]string{}
	for _, f := range r.Findings {
		found[f.ID] = f.What
	}
	require.Contains(t, found["emulated"], "the kernel's machine is x86_64")
	for _, made := range []string{"bpf-missing", "kernel-unknown", "kernel-feature", "programs-refused", "nftables-missing", "check-timed-out"} {
		require.NotContains(t, found, made)
	}
	states := map[string]string{}
	for _, c := range r.Checks {
		states[c.Check] = c.State
	}
	require.NotEqual(t, doctor.Held, states["kernel features"], "an emulator has no BPF")
	require.NotEqual(t, doctor.Held, states["programs load"])
}

func build(t *testing.T, arch, dir string) {
	t.Helper()
	args := []string{"build", "-ldflags", "-s -w -X main.version=v0-emulated", "-o", dir + "/"}
	for _, p := range programs {
		args = append(args, "../../"+p)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOARCH="+arch, "GOARM=7", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

func emulate(t *testing.T, qemu string, argv ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, argv...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NotContains(t, errs.String(), "panic", "%v", argv)
	require.NotContains(t, errs.String(), "fatal error", "%v", argv)
	return out, err
}
