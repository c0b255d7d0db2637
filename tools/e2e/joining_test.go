// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/joining"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// TestPastedCommands types what `token create` prints, as it is, on a machine that is to join: a worker, and a cluster. What differs on a testbed
// from a machine of its own (folders, ports, the database) is told by environment variables alone.
func TestPastedCommands(t *testing.T) {
	s := raise(t, 1)
	ctx := t.Context()
	dir := t.TempDir()
	// Nobody is to become root here who is it already.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sudo"), []byte("#!/bin/sh\n[ \"$1\" != -E ] || shift\nexec \"$@\"\n"), 0o700)) //nolint:gosec // a program
	programs, err := bin()
	require.NoError(t, err)
	path := "PATH=" + dir + ":" + programs + ":" + os.Getenv("PATH")

	cluster, err := s.Testbed.Host("c1")
	require.NoError(t, err)
	file := filepath.Join(dir, "etc", "worker.token")
	out, err := s.Testbed.Run(ctx, "c1", filepath.Join(programs, "cluster-orchestrator"), "token", "create", "--database", s.Testbed.DatabaseURL("c1"),
		"--address", cluster.Address, "--token-file", file, "--worker-name", "pasted")
	require.NoError(t, err)
	paste(t, "c1-w1", string(out), file, path, "OAK_NODEENGINE_STATE_DIR="+filepath.Join(dir, "engine"), "OAK_NODEENGINE_RUN_DIR="+filepath.Join(dir, "run"),
		"OAK_NODEENGINE_CONTAINERD="+testbed.ContainerdSocket("c1-w1"), "OAK_NODEENGINE_CONTAINERD_NAMESPACE=pasted",
		"OAK_NODEENGINE_NETMANAGER="+filepath.Join(dir, "no.sock"))
	until(t, time.Minute, func(ctx context.Context) error {
		list, _, err := s.Oak(ctx, "worker", "list")
		if err == nil && !strings.Contains(list, " pasted ") {
			err = fmt.Errorf("no worker has joined: %s", list)
		}
		return err
	})

	// The cluster, from a token of root's API.
	file = filepath.Join(dir, "etc", "cluster.token")
	api := s.Testbed.Hosts(testbed.RoleRoot)[0].Address
	out2, remarks, err := s.Oak(ctx, "token", "create", "--program", "--address", api, "--token-file", file, "--cluster-name", "pasted.cluster", "--cluster-location", "it's here")
	require.NoError(t, err)
	require.NotContains(t, remarks, "oak1.")
	base := s.Testbed.DatabaseURL("c1")
	text, err := exec.CommandContext(ctx, "psql", base, "-c", "CREATE DATABASE pasted").CombinedOutput() //nolint:gosec // of the testbed
	require.NoError(t, err, string(text))
	paste(t, "c1", out2, file, path, "OAK_DATABASE="+s.Testbed.DatabaseURL("pasted"), "OAK_LISTEN=:11100", "OAK_MQTT_LISTEN=:11003",
		"OAK_HELLO_LISTEN=:11003", "OAK_OTHER_HELLO_LISTEN=:11100")
	until(t, time.Minute, func(ctx context.Context) error {
		list, _, err := s.Oak(ctx, "cluster", "list")
		if err == nil && (!strings.Contains(list, " pasted.cluster ") || !strings.Contains(list, "it's here")) {
			err = fmt.Errorf("no cluster has joined: %s", list)
		}
		return err
	})
}

// paste types a command into a shell on a host and leaves running what it starts. The token is good from then on only as its file.
func paste(t *testing.T, host, command, file string, env ...string) {
	t.Helper()
	token := joining.TokenIn(command)
	require.NotEmpty(t, token, command)
	cmd := exec.Command("sh", "-c", command) //nolint:gosec // what is tested
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the shell does not pass signals on
	require.NoError(t, underlay.In(host, cmd.Start))
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s\n%s", host, text)
		}
		_ = log.Close()
	})
	until(t, 30*time.Second, func(context.Context) error {
		text, err := os.ReadFile(file)
		if err == nil && string(text) != token+"\n" {
			err = fmt.Errorf("the file holds %q", text)
		}
		return err
	})
}
