// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := newCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestTokenIsAllThatIsPrinted(t *testing.T) {
	t.Setenv("OAK_ROOT_DATABASE", pgtest.New(t))
	out, err := execute(t, "token", "create", "--quiet", "--role", "cluster", "--uses", "3")
	require.NoError(t, err)
	token, err := pki.ParseToken(out)
	require.NoError(t, err)
	require.Equal(t, token.String()+"\n", out)
	_, err = execute(t, "token", "create", "--role", "worker")
	require.ErrorContains(t, err, "--role")
}

func TestWrongSettingsNameTheirFlag(t *testing.T) {
	for flag, args := range map[string][]string{
		"--database":   {},
		"--log-level":  {"--database", "x", "--log-level", "loud"},
		"--log-format": {"--database", "x", "--log-format", "xml"},
		"--lost-after": {"--database", "x", "--lost-after", "1s"},
		"--workers-v4": {"--database", "x", "--workers-v4", "ten"},
	} {
		_, err := execute(t, args...)
		require.ErrorContains(t, err, flag)
	}
	t.Setenv("OAK_ROOT_ALLOW_PLAIN", "perhaps")
	_, err := execute(t)
	require.ErrorContains(t, err, "OAK_ROOT_ALLOW_PLAIN")
}

func TestVersion(t *testing.T) {
	out, err := execute(t, "version")
	require.NoError(t, err)
	require.Regexp(t, "^root-orchestrator .+\n$", out)
}
