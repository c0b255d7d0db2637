// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := newCommand()
	c.SetArgs(args)
	c.SetOut(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestTokenCreatePrintsOnlyTheToken(t *testing.T) {
	t.Setenv("OAK_DATABASE", pgtest.New(t))
	t.Setenv("OAK_LOG_LEVEL", "error")
	out, err := run(t, "token", "create", "-q", "--role", "worker", "--uses", "3")
	require.NoError(t, err)
	token, err := pki.ParseToken(out)
	require.NoError(t, err)
	require.Equal(t, pki.RoleWorker, token.Role)
	require.Equal(t, token.String()+"\n", out)
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for want, args := range map[string][]string{
		"--root-url":                   {"--name", "c1", "--root-url", "root:10000"},
		"plain http":                   {"--name", "c1", "--root-url", "http://root:10000"},
		"--name":                       {"--root-url", "https://root:10000"},
		"start with a letter or digit": {"--name", "it's mine", "--root-url", "https://root:10000"},
		"--lost-after":                 {"--name", "c1", "--root-url", "https://root:10000", "--lost-after", "1s"},
		"--database":                   {"--name", "c1", "--root-url", "https://root:10000"},
		`--location "48.26;11.67" is neither lat,lon[,radius]`: {"--name", "c1", "--root-url", "https://root:10000", "--location", "48.26;11.67"},
		"latitude 91 is not": {"--name", "c1", "--root-url", "https://root:10000", "--location", "91,0,5"},
		"--log-level":        {"--log-level", "loud"},
		"--log-format":       {"--log-format", "xml"},
		"--role":             {"token", "create", "--role", "cluster"},
	} {
		_, err := run(t, args...)
		require.ErrorContains(t, err, want, strings.Join(args, " "))
	}
	t.Setenv("OAK_LOST_AFTER", "soon")
	_, err := run(t)
	require.ErrorContains(t, err, "OAK_LOST_AFTER")
}
