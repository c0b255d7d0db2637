// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asker is the environment variable that makes this test program a client of another user.
const asker = "OAK_TEST_SOCKET"

func TestMain(m *testing.M) {
	if socket := os.Getenv(asker); socket != "" {
		if _, err := Get(context.Background(), socket); err != nil {
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestRootIsAnsweredAndOthersAreNot(t *testing.T) {
	dir, err := os.MkdirTemp("", "oakapi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := Socket(dir)
	if err := os.WriteFile(socket, nil, 0o600); err != nil { // what a dead one left
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, socket, func() Status { return Status{WorkerID: "w1"} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	var s Status
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s, err = Get(t.Context(), socket); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil || s.WorkerID != "w1" || s.Instances == nil {
		t.Fatalf("%+v %v", s, err)
	}
	if err := os.Chmod(socket, 0o666); err != nil { // the mode is not what keeps others out
		t.Fatal(err)
	}
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	client := dir + "/client"
	if err := os.WriteFile(client, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32]int{0: 0, 65534: 3} {
		cmd := exec.Command(client)
		cmd.Env = []string{asker + "=" + socket}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("user %d: exit status %d, want %d", uid, got, want)
		}
	}
}

func TestNobodyThereSaysWhatToCheck(t *testing.T) {
	if _, err := Get(t.Context(), Socket(t.TempDir())); err == nil || !strings.Contains(err.Error(), "is it running") {
		t.Fatalf("%v", err)
	}
}
