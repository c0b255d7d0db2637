// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/session"
)

func execute(args ...string) (code int, errs string) {
	var out, progress bytes.Buffer
	root := Command("v", &out, &progress)
	root.SetArgs(args)
	root.SetErr(&progress)
	root.SetOut(&out)
	return cmdline.Execute(context.Background(), root), progress.String()
}

func TestWrongSelectionsAndMissingFilesAreNamed(t *testing.T) {
	code, text := execute("run", "--only", "cilium")
	require.Equal(t, cmdline.Usage, code)
	require.Contains(t, text, `"cilium" is neither a part`)
	code, text = execute("quick", "--against", filepath.Join(t.TempDir(), "none.json"))
	require.Equal(t, cmdline.Failed, code)
	require.Contains(t, text, "read figures: ")
}

func TestBuildsOfOneVersionAreToldApart(t *testing.T) {
	program := filepath.Join(t.TempDir(), "NetManager")
	o := &runOptions{version: "v1"}
	require.NoError(t, os.WriteFile(program, []byte("one"), 0o600))
	one, err := o.key(program)
	require.NoError(t, err)
	again, err := o.key(program)
	require.NoError(t, err)
	require.Equal(t, one, again)
	require.NoError(t, os.WriteFile(program, []byte("two"), 0o600))
	two, err := o.key(program)
	require.NoError(t, err)
	require.NotEqual(t, one, two)
}

func TestOnlyWhatIsMissingIsMeasured(t *testing.T) {
	s, err := session.Open(t.TempDir(), "v")
	require.NoError(t, err)
	p := plan.Scale(3)
	require.Equal(t, []int{0, 1, 2}, missingRounds(p, s))
	o := &runOptions{}
	speeds, err := o.missingSpeeds(p, s)
	require.NoError(t, err)
	require.Empty(t, speeds, "programming belongs to another part")
	speeds, err = o.missingSpeeds(plan.Many(3), s)
	require.NoError(t, err)
	require.Len(t, speeds, 9)
	require.NoError(t, s.AddSpeed(session.Speed{Way: "nft", Services: 10, Endpoints: 10}))
	speeds, err = o.missingSpeeds(plan.Many(3), s)
	require.NoError(t, err)
	require.Len(t, speeds, 8)
}
