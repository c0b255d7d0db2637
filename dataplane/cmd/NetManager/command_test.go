// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBadEnvironmentNamesTheVariable(t *testing.T) {
	t.Setenv("OAK_NETMANAGER_TUNNEL_PORT", "many")
	cmd := command()
	cmd.SetArgs([]string{"version"})
	require.NoError(t, cmd.Execute(), "it is no flag of this command")
	cmd = command()
	cmd.SetArgs([]string{})
	require.ErrorContains(t, cmd.Execute(), "OAK_NETMANAGER_TUNNEL_PORT")
}

func TestBadFlagsAreRefused(t *testing.T) {
	for flag, value := range map[string]string{"--log-level": "loud", "--log-format": "xml", "--tunnel-port": "70000"} {
		cmd := command()
		cmd.SetArgs([]string{flag, value})
		require.Error(t, cmd.Execute(), flag)
	}
	cmd := command()
	cmd.SetArgs([]string{"status", "--socket", t.TempDir() + "/none"})
	require.ErrorContains(t, cmd.Execute(), "is it running")
}

func TestVersion(t *testing.T) {
	cmd := command()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"version"})
	require.NoError(t, cmd.Execute())
	require.Regexp(t, "^NetManager .+\n$", out.String())
}
