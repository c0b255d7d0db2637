// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/kernels"
)

func TestShow(t *testing.T) {
	var b strings.Builder
	ok := show(&b, kernels.Report{Kernel: "6.1.0-50-cloud-arm64 aarch64", Took: 61500 * time.Millisecond, Results: []kernels.Result{
		{Package: "./bpf", Passed: true, Pass: 68, Took: 1500 * time.Millisecond},
		{Package: "./dataplane/datapath", Fail: 2, Fault: "exit status 1", Notes: []kernels.Note{
			{Test: "TestA", Text: "a_test.go:3: no veth"}, {Test: "TestB", Text: "b_test.go:9: no veth"},
			{Test: "TestC", Skipped: true, Text: "c_test.go:1: no tcx\nbefore 6.6"},
		}},
		{Package: "./dataplane/peer", Fault: "it never began", Tail: "panic"},
	}})
	require.False(t, ok)
	require.Equal(t, `Linux 6.1.0-50-cloud-arm64 aarch64, 1m1.5s
  ok    ./bpf                   68 passed   0 failed   0 skipped    1.50s
  FAIL  ./dataplane/datapath     0 passed   2 failed   0 skipped    0.00s  exit status 1
        failed TestA: a_test.go:3: no veth
        failed TestB: as TestA
        skipped TestC: c_test.go:1: no tcx
          before 6.6
  FAIL  ./dataplane/peer         0 passed   0 failed   0 skipped    0.00s  it never began
        panic
`, b.String())
	require.True(t, show(&strings.Builder{}, kernels.Report{Results: []kernels.Result{{Passed: true}}}))
}
