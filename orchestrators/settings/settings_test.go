// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/settings"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func run(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	var db settings.Database
	var log cmdline.Log
	root := &cobra.Command{Use: "o"}
	cmdline.Program{}.Adopt(root)
	db.AddFlag(root.PersistentFlags())
	log.AddFlags(root.PersistentFlags())
	root.AddCommand(settings.TokenCommand(pki.RoleWorker, &db, &log))
	var o, e bytes.Buffer
	root.SetOut(&o)
	root.SetErr(&e)
	root.SetArgs(args)
	code = cmdline.Execute(t.Context(), root)
	return o.String(), e.String(), code
}

func TestTokenIsAllThatIsPrinted(t *testing.T) {
	out, errs, code := run(t, "token", "create", "--uses", "3", "--database", pgtest.New(t))
	require.Zero(t, code, errs)
	token, err := pki.ParseToken(out)
	require.NoError(t, err)
	require.Equal(t, pki.RoleWorker, token.Role)
	require.Equal(t, token.String()+"\n", out)
}

func TestWrongUsageNamesTheFlag(t *testing.T) {
	for want, args := range map[string][]string{
		"--database":          {"token", "create"},
		"--role":              {"token", "create", "--role", pki.RoleCluster},
		"--log-level":         {"token", "create", "--log-level", "loud"},
		"did you mean create": {"token", "creat"},
	} {
		out, errs, code := run(t, args...)
		require.Equal(t, cmdline.Usage, code, want)
		require.Contains(t, errs, want)
		require.Empty(t, out, want)
	}
}
