// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf/probe"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// oakNet returns the program oak-net: the one that the test was given, where there is no compiler, else one made of these sources.
func oakNet(t *testing.T) string {
	t.Helper()
	if given := os.Getenv("OAK_NET"); given != "" {
		return given
	}
	out := filepath.Join(t.TempDir(), "oak-net")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", out, "github.com/oakestra/oakestra-ebpf/tools/cmd/oak-net").CombinedOutput(); err != nil {
		t.Fatalf("build oak-net: %v\n%s", err, text)
	}
	return out
}

// TestStatusNamesWhatIsDoneWithout runs oak-net on the pins of a datapath that does without what this kernel has not, and then without tcx too:
// it names the kernel, each fallback, and every program that is attached.
func TestStatusNamesWhatIsDoneWithout(t *testing.T) {
	program := oakNet(t)
	for name, without := range map[string][]string{"as found": nil, "without tcx": {probe.TCX}} {
		t.Run(name, func(t *testing.T) {
			w := newWorldWith(t, inIPv4, inIPv4, datapath.Options{Without: without})
			wk := w.workers[0]
			wk.box()
			status := statusOf(t, program, wk)
			record := wk.dp.Features()
			for _, want := range []string{record.Kernel, "uplink_in", "container"} {
				if !strings.Contains(status, want) {
					t.Errorf("the status does not say %q", want)
				}
			}
			if len(record.Fallbacks()) < len(without) {
				t.Errorf("%d features are done without, want %v among them", len(record.Fallbacks()), without)
			}
			for _, f := range record.Fallbacks() {
				if !strings.Contains(status, f.Name) || !strings.Contains(status, f.Fallback) {
					t.Errorf("the status does not say that %s is done without, nor what instead: %s", f.Name, f.Fallback)
				}
			}
		})
	}
}

// statusOf is what `oak-net status` prints in a worker's namespace.
func statusOf(t *testing.T, program string, wk *worker) (status string) {
	t.Helper()
	netnstest.Within(t, wk.ns, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, "--bpffs", wk.w.bpffs, "--worker", wk.name, "status")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		text, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%w: %s", err, errs.String())
		}
		status = string(text)
		return nil
	})
	t.Log(status)
	return status
}
