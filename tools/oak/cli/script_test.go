// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oakestra/oakestra-ebpf/tools/oak/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"oak": func() {
			os.Exit(cli.Main(context.Background(), os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}))
		},
	})
}

// TestScripts runs the scenarios in testdata. The command `serve FILE` starts a server whose answers are lines of FILE, each
// METHOD PATH STATUS BODY, and points OAK_URL at it (`serve FILE tls` over TLS, with a certificate for
// 127.0.0.1 that nobody trusts, in ca.pem); `exits CODE COMMAND…` checks an exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("OAK_CONFIG", filepath.Join(e.WorkDir, "config.json"))
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"serve": serve, "exits": exits},
	})
}

func serve(ts *testscript.TestScript, _ bool, args []string) {
	answers := map[string]struct {
		status int
		body   string
	}{}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		parts := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(parts) < 3 {
			continue
		}
		a := answers[parts[0]+" "+parts[1]]
		if _, err := fmt.Sscan(parts[2], &a.status); err != nil {
			ts.Fatalf("%s: %v", line, err)
		}
		if len(parts) == 4 {
			a.body = parts[3]
		}
		answers[parts[0]+" "+parts[1]] = a
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			a.status, a.body = http.StatusNotFound, `{"code":"no_such_route","detail":"there is nothing at this path"}`
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what is tested
	if len(args) > 1 && args[1] == "tls" {
		server.StartTLS()
		authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), authority, 0o600))
	} else {
		server.Start()
	}
	ts.Defer(server.Close)
	ts.Setenv("OAK_URL", server.URL)
}

// exits runs a command and checks its exit code, which testscript itself does not show.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		if _, scanErr := fmt.Sscanf(err.Error(), "exit status %d", &got); scanErr != nil {
			ts.Fatalf("run %v: %v", args[1:], err)
		}
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("%v: exit code %d, want %s", args[1:], got, args[0])
	}
}
