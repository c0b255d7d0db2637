// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	root.AddCommand(settings.TokenCommand(pki.RoleWorker, &db, &log), settings.HealthCommand(1), settings.PasswordCommand())
	var o, e bytes.Buffer
	root.SetOut(&o)
	root.SetErr(&e)
	root.SetArgs(args)
	code = cmdline.Execute(t.Context(), root)
	return o.String(), e.String(), code
}

func TestTokenIsAllThatIsPrinted(t *testing.T) {
	out, errs, code := run(t, "token", "create", "--quiet", "--uses", "3", "--database", pgtest.New(t))
	require.Zero(t, code, errs)
	token, err := pki.ParseToken(out)
	require.NoError(t, err)
	require.Equal(t, pki.RoleWorker, token.Role)
	require.Equal(t, token.String()+"\n", out)
}

// What is printed is a line for a shell; what people are told besides is not in its way.
func TestTheCommandToJoinIsPrinted(t *testing.T) {
	db := pgtest.New(t)
	out, errs, code := run(t, "token", "create", "--address", "192.0.2.7:444", "--worker-name", "w 1", "--worker-location", "48.26,11.67", "--ttl", "10m", "--database", db)
	require.Zero(t, code, errs)
	require.Regexp(t, `^printf '%s\\n' oak1\.\S+ \| sudo install -D -m 600 /dev/stdin /etc/oakestra/worker\.token && sudo NodeEngine -a 192\.0\.2\.7 -p 444 --name 'w 1' --location 48\.26,11\.67\n$`, out)
	require.Contains(t, errs, "within 10m0s; good for 1 of them")
	require.NotContains(t, errs, "oak1.")

	out, errs, code = run(t, "token", "create", "--json", "--address", "192.0.2.7", "--uses", "2", "--database", db)
	require.Zero(t, code, errs)
	var told map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &told), out)
	token, err := pki.ParseToken(told["token"].(string))
	require.NoError(t, err)
	require.Equal(t, token.ID, told["id"])
	require.EqualValues(t, 2, told["uses"])
	require.Contains(t, told["command"], token.String())
	until, err := time.Parse(time.RFC3339, told["expires_at"].(string))
	require.NoError(t, err)
	require.InDelta(t, time.Hour.Seconds(), time.Until(until).Seconds(), 30)
}

func TestWrongUsageNamesTheFlag(t *testing.T) {
	for want, args := range map[string][]string{
		"--database":          {"token", "create"},
		"--role":              {"token", "create", "--role", pki.RoleCluster},
		"--address":           {"token", "create", "--address", "https://c.example"},
		"--worker-location":   {"token", "create", "--worker-location", "91,0"},
		"exclude one another": {"token", "create", "--quiet", "--json"},
		"--log-level":         {"token", "create", "--log-level", "loud"},
		"did you mean create": {"token", "creat"},
	} {
		out, errs, code := run(t, args...)
		require.Equal(t, cmdline.Usage, code, want)
		require.Contains(t, errs, want)
		require.Empty(t, out, want)
	}
}

func TestTokenGoesToAFileOfItsOwnersAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("a former one"), 0o644)) //nolint:gosec // as somebody may have left it
	out, errs, code := run(t, "token", "create", "--output", file, "--database", pgtest.New(t))
	require.Zero(t, code, errs)
	require.Empty(t, out)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	_, err = pki.ParseToken(string(text))
	require.NoError(t, err)
	st, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	all, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, all, 1, "nothing else is left")
}

func TestHealth(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "the database is unavailable")
	}))
	t.Cleanup(s.Close)
	_, errs, code := run(t, "health", "--url", s.URL+"/readyz")
	require.Zero(t, code, errs)
	status = http.StatusServiceUnavailable
	_, errs, code = run(t, "health", "--url", s.URL+"/readyz")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "the database is unavailable")
	s.Close()
	_, _, code = run(t, "health", "--url", s.URL+"/readyz")
	require.Equal(t, 1, code)
}

func TestAPasswordIsMadeOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	_, errs, code := run(t, "password", "create", "--output", file, "--mode", "0444")
	require.Zero(t, code, errs)
	first, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Regexp(t, "^[A-Z2-7]{32}\n$", string(first))
	st, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o444), st.Mode().Perm())
	_, errs, code = run(t, "password", "create", "--output", file)
	require.Zero(t, code, errs)
	again, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, first, again)
	_, errs, code = run(t, "password", "create", "--output", file, "--mode", "rw")
	require.Equal(t, cmdline.Usage, code)
	require.Contains(t, errs, "--mode")
}

func TestAPasswordThatThereIsTakesThePlaceOfARandomOne(t *testing.T) {
	dir := t.TempDir()
	from, file := filepath.Join(dir, "given"), filepath.Join(dir, "password")
	for _, text := range []string{"first", "second\n", "with \"quotes\" and $\r\n"} {
		require.NoError(t, os.WriteFile(from, []byte(text), 0o600))
		_, errs, code := run(t, "password", "create", "--from", from, "--output", file, "--mode", "0444")
		require.Zero(t, code, errs)
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, strings.TrimRight(text, "\r\n")+"\n", string(got))
		st, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o444), st.Mode().Perm())
	}
	for _, text := range []string{"", "\n", strings.Repeat("x", 5000)} {
		require.NoError(t, os.WriteFile(from, []byte(text), 0o600))
		_, errs, code := run(t, "password", "create", "--from", from, "--output", file)
		require.Equal(t, cmdline.Usage, code)
		require.Contains(t, errs, "--from")
	}
	_, _, code := run(t, "password", "create", "--from", from+".none", "--output", file)
	require.Equal(t, cmdline.Failed, code)
	all, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, all, 2, "nothing else is left")
}

func TestTheDatabasesPasswordComesFromItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("p@ss/word\n"), 0o600))
	db := settings.Database{URL: "postgres://me@db:5432/oak?sslmode=disable", PasswordFile: file}
	require.NoError(t, db.Check())
	require.Equal(t, "postgres://me:p%40ss%2Fword@db:5432/oak?sslmode=disable", db.URL)
	require.NoError(t, db.Check(), "asked twice, it is the same")
	for _, url := range []string{"host=db user=me", "postgres://db/oak"} {
		db = settings.Database{URL: url, PasswordFile: file}
		require.ErrorContains(t, db.Check(), "names the user")
	}
	db.PasswordFile += ".none"
	require.ErrorContains(t, db.Check(), "--database-password-file")
}
