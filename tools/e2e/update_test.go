// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// TestUpdate changes a service of three instances while it is called: to something good, and to something that never becomes ready. No
// call fails. The service is given a secret, which is afterwards looked for where it must not be.
func TestUpdate(t *testing.T) {
	s := raise(t, 2)
	word := rand.Text()
	if _, err := s.API.CreateSecret(t.Context(), client.SecretValue{Name: "word", Value: []byte(word)}); err != nil {
		t.Fatal(err)
	}
	application(t, s, "update.json")
	awaitRunning(t, s, "client", 1)
	v := complete(t, s, 1, 3)
	handedOver(t, s, v, word)
	from, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(t.Context(), from, v.RoundRobin, 3); err != nil {
		t.Fatal(err)
	}

	while(t, s, v, 32, func() {
		change(t, s, v, map[string]any{"environment": []string{"COLOUR=green"}})
		complete(t, s, 2, 3)
	})
	for _, c := range serversOf(t, s, v) {
		if env := environ(t, s, c); !strings.Contains(env, "COLOUR=green\x00") {
			t.Errorf("%s was not changed: %q", c.ID, env)
		}
	}

	// An instance of this one listens where it is not asked whether it is ready: it is taken back, and the others are left alone.
	while(t, s, v, 26, func() {
		change(t, s, v, map[string]any{"readiness_probe": map[string]any{"tcp": map[string]any{"port": 81}, "period_s": 1}})
		complete(t, s, 4, 3)
	})
	if r := rollout(t, s, v); !r.RollingBack {
		t.Errorf("not taken back: %+v", r)
	}
	handedOver(t, s, v, word)
	nowhere(t, s, v, word)
}

// while calls the service for so many seconds, and does something meanwhile.
func while(t *testing.T, s *scene.Scene, v *client.Service, seconds int, f func()) {
	t.Helper()
	from, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var report hello.GetReport
	done := make(chan error, 1)
	go func() {
		done <- s.Call(t.Context(), from, &report, "rate", "http://"+v.RoundRobin+"/", "-per-second", "50", "-seconds", fmt.Sprint(seconds))
	}()
	time.Sleep(lead)
	start := time.Now()
	f()
	t.Logf("changed over after %s", time.Since(start).Round(100*time.Millisecond))
	if time.Since(start) > time.Duration(seconds-1)*time.Second {
		t.Error("it took longer than it was called for")
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d calls, slowest %.1f ms, by instance %v", report.Requests, report.SlowestMS, report.Instances)
	if report.Failed != 0 || len(report.Instances) != 3 {
		t.Errorf("%d of %d calls failed: %v", report.Failed, report.Requests, report.Errors)
	}
}

// change sends the service back to root with other fields.
func change(t *testing.T, s *scene.Scene, v *client.Service, with map[string]any) {
	t.Helper()
	raw, err := s.API.RawService(t.Context(), v.ID)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for key, value := range with {
		fields[key] = value
	}
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.API.UpdateService(t.Context(), v.ID, body); err != nil {
		t.Fatal(err)
	}
}

func rollout(t *testing.T, s *scene.Scene, v *client.Service) *client.Rollout {
	t.Helper()
	r, err := s.API.Rollout(t.Context(), v.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// complete waits until so many instances of the server are of a revision and available, and run as containerd says.
func complete(t *testing.T, s *scene.Scene, revision, n int) *client.Service {
	t.Helper()
	var v *client.Service
	until(t, time.Minute, func(ctx context.Context) (err error) {
		if v, err = s.Service(ctx, "server"); err != nil {
			return err
		}
		r, err := s.API.Rollout(ctx, v.ID)
		if err != nil {
			return err
		}
		if r.Revision != revision || r.State != client.RolloutComplete || r.Updated != n || r.Available != n {
			return fmt.Errorf("rollout of revision %d is %s: %s (%d updated, %d available)", r.Revision, r.State, r.Detail, r.Updated, r.Available)
		}
		got, err := s.Containers(ctx, string(v.ID))
		if err != nil {
			return err
		}
		return allRun(v, got, n)
	})
	return v
}

func serversOf(t *testing.T, s *scene.Scene, v *client.Service) []scene.Container {
	t.Helper()
	list, err := s.Containers(t.Context(), string(v.ID))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("no server runs")
	}
	return list
}

// process is a container's as the machine sees it.
func process(t *testing.T, s *scene.Scene, c scene.Container) string {
	t.Helper()
	pids, err := s.Testbed.Tasks(t.Context(), c.Worker)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d", pids[c.ID])
}

func environ(t *testing.T, s *scene.Scene, c scene.Container) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(process(t, s, c), "environ"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\x00"
}

// handedOver checks that each server has the secret, as variable and as file.
func handedOver(t *testing.T, s *scene.Scene, v *client.Service, word string) {
	t.Helper()
	for _, c := range serversOf(t, s, v) {
		if !strings.Contains(environ(t, s, c), "\x00WORD="+word+"\x00") {
			t.Errorf("%s lacks the variable", c.ID)
		}
		text, err := os.ReadFile(filepath.Join(process(t, s, c), "root/run/word"))
		if err != nil || string(text) != word {
			t.Errorf("%s reads %q from the file, %v", c.ID, text, err)
		}
	}
}

// nowhere looks for a secret on the disks of all hosts (logs, databases and their journals, what tiers were sent and have stored) and in
// what the API says.
func nowhere(t *testing.T, s *scene.Scene, v *client.Service, word string) {
	t.Helper()
	looked := 0
	err := filepath.WalkDir(testbed.DefaultDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // gone meanwhile
			}
			return err
		}
		if d.IsDir() && d.Name() == "containerd" { // images, and a database of pages that were used before
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		looked++
		if found, err := holds(path, word); err != nil || found {
			t.Errorf("%s holds the secret: %v, %v", path, found, err)
		}
		return nil
	})
	if err != nil || looked < 100 {
		t.Errorf("looked at %d files: %v", looked, err)
	}
	raw, err := s.API.RawService(t.Context(), v.ID)
	if err != nil || bytes.Contains(raw, []byte(word)) {
		t.Errorf("the API tells the secret: %s, %v", raw, err)
	}
	list, err := s.API.Secrets(t.Context())
	if text, _ := json.Marshal(list); err != nil || len(list) != 1 || bytes.Contains(text, []byte(word)) {
		t.Errorf("the API tells the secret: %s, %v", text, err)
	}
}

// holds reads a file piece by piece; what a piece ends with is looked at again with the next.
func holds(path, word string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	buf, kept := make([]byte, 1<<20), 0
	for {
		n, err := f.Read(buf[kept:])
		if bytes.Contains(buf[:kept+n], []byte(word)) {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		end := kept + n
		kept = min(end, len(word)-1)
		copy(buf, buf[end-kept:end])
	}
}
