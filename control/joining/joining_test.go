// SPDX-License-Identifier: Apache-2.0

package joining_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/joining"
	"github.com/oakestra/oakestra-ebpf/control/pki"
)

func token(role string) string {
	return pki.Token{Audience: pki.NewID(), Role: role, ID: pki.NewID(), Secret: pki.NewSecret(), CAHash: strings.Repeat("ab", 32)}.String()
}

// pasted types a command into a shell, on a machine whose sudo and programs only tell how they were called, and returns that.
func pasted(t *testing.T, shell, command string) (calls string, err error) {
	t.Helper()
	dir := t.TempDir()
	sudo := "#!/bin/sh\nif [ \"$1\" = -E ]; then shift; fi\nexec \"$@\"\n"
	tell := "#!/bin/sh\nprintf '%s' \"${0##*/}\" >>\"$CALLS\"\nfor a; do printf ' [%s]' \"$a\" >>\"$CALLS\"; done\n" +
		"printf ' %s|%s|%s|%s|%s\\n' \"$SYSTEM_MANAGER_URL\" \"$SYSTEM_MANAGER_PORT\" \"$CLUSTER_NAME\" \"$CLUSTER_LOCATION\" \"$CLUSTER_TOKEN_FILE\" >>\"$CALLS\"\n"
	for name, text := range map[string]string{"sudo": sudo, "NodeEngine": tell, "cluster-orchestrator": tell, "docker-compose": tell, "hostname": "#!/bin/sh\necho box\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700)) //nolint:gosec // programs
	}
	file := filepath.Join(dir, "calls")
	cmd := exec.CommandContext(t.Context(), shell, "-c", command) //nolint:gosec // that is what is tested
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "CALLS=" + file}
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	text, _ := os.ReadFile(file)
	return strings.ReplaceAll(string(text), dir+"/", ""), err
}

func TestCommandsDoInAShellWhatTheySay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "with 'quotes'", "token")
	for want, m := range map[string]joining.Machine{
		"NodeEngine [-a] [192.0.2.7] [--join-token-file] [FILE] ||||\n":                                                    {Token: token(pki.RoleWorker), Host: "192.0.2.7", Port: joining.ClusterPort},
		"NodeEngine [-a] [2001:db8::7] [-p] [444] [--join-token-file] [FILE] [--name] [w1] [--location] [48,11] ||||\n":    {Token: token(pki.RoleWorker), Host: "2001:db8::7", Port: 444, Name: "w1", Location: "48,11"},
		"docker-compose [-f] [" + joining.Composition + "] [up] [-d] 192.0.2.7||box||FILE\n":                               {Token: token(pki.RoleCluster), Host: "192.0.2.7"},
		"docker-compose [-f] [" + joining.Composition + "] [up] [-d] [2001:db8::7]|444|it's $(mine)|a \"place\"|FILE\n":    {Token: token(pki.RoleCluster), Host: "2001:db8::7", Port: 444, Name: "it's $(mine)", Location: `a "place"`},
		"cluster-orchestrator [--root-url] [https://[2001:db8::7]:10000] [--join-token-file] [FILE] [--name] [box] ||||\n": {Token: token(pki.RoleCluster), Host: "2001:db8::7", Program: true},
		"cluster-orchestrator [--root-url] [https://root.example:444] [--join-token-file] [FILE] [--name] [; reboot] [--location] [48,11,5] ||||\n": {Token: token(pki.RoleCluster),
			Host: "root.example", Port: 444, Program: true, Name: "; reboot", Location: "48,11,5"},
	} {
		m.TokenFile = file
		command, err := m.Command()
		require.NoError(t, err)
		for _, shell := range []string{"sh", "bash"} {
			require.NoError(t, os.RemoveAll(file))
			calls, err := pasted(t, shell, command)
			require.NoError(t, err, command)
			require.Equal(t, strings.ReplaceAll(want, "FILE", file), calls, command)
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, m.Token+"\n", string(text))
			st, err := os.Stat(file)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
		}
	}
}

func TestUsualPlacesAreNotNamed(t *testing.T) {
	given := token(pki.RoleWorker)
	worker, err := joining.Machine{Token: given, Host: "c.example"}.Command()
	require.NoError(t, err)
	require.Equal(t, given, joining.TokenIn("note\n"+worker+"\n"))
	require.Equal(t, given, joining.TokenIn(given+"\n"))
	require.Empty(t, joining.TokenIn("oak1.a.worker.b.c.d"))
	require.Regexp(t, `^printf '%s\\n' oak1\.\S+ \| sudo install -D -m 600 /dev/stdin /etc/oakestra/worker.token && sudo NodeEngine -a c.example$`, worker)
	cluster, err := joining.Machine{Token: token(pki.RoleCluster), Host: "r.example"}.Command()
	require.NoError(t, err)
	require.Regexp(t, `/etc/oakestra/cluster.token && export SYSTEM_MANAGER_URL=r.example CLUSTER_NAME="\$\(hostname\)" CLUSTER_LOCATION='' && sudo -E docker-compose -f \S+ up -d$`, cluster)
}

// A place that nobody has filled in is a fault of the shell's, and nothing is started.
func TestWhatIsNotKnownIsLeftToFillIn(t *testing.T) {
	for _, m := range []joining.Machine{{Token: token(pki.RoleWorker)}, {Token: token(pki.RoleCluster)}, {Token: token(pki.RoleCluster), Program: true}} {
		m.TokenFile = filepath.Join(t.TempDir(), "token")
		command, err := m.Command()
		require.NoError(t, err)
		require.Contains(t, command, " ORCHESTRATOR>")
		calls, err := pasted(t, "bash", command)
		require.Empty(t, calls)
		require.Error(t, err)
	}
	_, err := joining.Machine{Token: "oak1.x"}.Command()
	require.ErrorIs(t, err, pki.ErrToken)
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]struct {
		host string
		port int
	}{
		"192.0.2.1": {"192.0.2.1", 0}, "192.0.2.1:444": {"192.0.2.1", 444}, "2001:db8::1": {"2001:db8::1", 0}, "[2001:db8::1]": {"2001:db8::1", 0},
		"[2001:db8::1]:444": {"2001:db8::1", 444}, "root.example": {"root.example", 0}, "root.example:1": {"root.example", 1},
	} {
		host, port, err := joining.SplitAddress(text)
		require.NoError(t, err, text)
		require.Equal(t, want.host, host, text)
		require.Equal(t, want.port, port, text)
	}
	for _, text := range []string{"", ":444", "a:b:c", "a:0", "a:65536", "a b", "https://root.example", "a;b", "$(x)", "root@example"} {
		_, _, err := joining.SplitAddress(text)
		require.Error(t, err, text)
	}
	require.NotContains(t, joining.Here(), "127.0.0.")
}

// TestWorkerCommandIsThatOfThePage, which is typed by the walk.
func TestWorkerCommandIsThatOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../orchestrators/compose/README.md")
	require.NoError(t, err)
	require.Contains(t, strings.ReplaceAll(string(page), "\\\n  ", ""), "```sh worker-command\n"+joining.WorkerCommand+"\n```\n")
}
