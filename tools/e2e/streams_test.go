// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// TestStreams reads logs, runs commands and follows events through all tiers, with everything between dying.
func TestStreams(t *testing.T) {
	s := raise(t, 1)
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Testbed.Image(t.Context(), "console", filepath.Join(dir, "images", "console"), []string{"/console"}); err != nil {
		t.Fatal(err)
	}
	events, stop := background(t, s, "events", "-f", "-o", "json")
	defer stop()
	application(t, s, "console.json")
	deploy(t, s, "talk", 1)
	v, err := s.Service(t.Context(), "talk")
	if err != nil {
		t.Fatal(err)
	}
	c := &streamer{s: s, service: v.ID}
	t.Run("Events", func(t *testing.T) { events.await(t, `"status":"RUNNING"`, 10*time.Second) })
	t.Run("Exec", c.exec)
	t.Run("Terminal", c.terminal)
	t.Run("Logs", c.logs)
	t.Run("SlowReader", c.slowReader)
	t.Run("Abandoned", c.abandoned)
	t.Run("FollowAcrossRestarts", c.followAcrossRestarts)
	t.Run("EveryTierKilled", c.killed)
	t.Run("Cut", c.cut)
}

type streamer struct {
	s       *scene.Scene
	service client.ID
}

// transcript is written and read at the same time.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *transcript) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *transcript) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.text.String() }

func (b *transcript) await(t *testing.T, want string, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); !strings.Contains(b.String(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			text := b.String()
			t.Fatalf("lacks %q after %s: …%s", want, within, text[max(0, len(text)-2000):])
		}
	}
}

// background runs oak until stop is called.
func background(t *testing.T, s *scene.Scene, args ...string) (out *transcript, stop func() error) {
	t.Helper()
	cmd := s.OakCommand(t.Context(), args...)
	out = &transcript{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return out, func() error {
		_ = cmd.Process.Signal(os.Interrupt)
		return cmd.Wait()
	}
}

func (c *streamer) run(ctx context.Context, o client.ExecOptions) (int, error) {
	return c.s.API.Exec(ctx, c.service, 0, o)
}

func (c *streamer) exec(t *testing.T) {
	out, remarks, err := c.s.Oak(t.Context(), "exec", "talk.0", "--", "/console", "exit", "3", "hello")
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 3 || out != "hello\n" || remarks != "error hello\n" {
		t.Errorf("%v: %q %q", err, out, remarks)
	}
	input := bytes.Repeat([]byte("many windows' worth of input\n"), 100_000)
	cmd := c.s.OakCommand(t.Context(), "exec", "-i", "talk.0", "/console", "cat")
	cmd.Stdin = bytes.NewReader(input)
	began := time.Now()
	back, err := cmd.Output()
	if err != nil || !bytes.Equal(back, input) {
		t.Errorf("%v: %d of %d bytes came back", err, len(back), len(input))
	}
	t.Logf("%d bytes there and back in %s", len(input), time.Since(began).Round(time.Millisecond))
	for command, code := range map[string]string{"/nothing": wire.StreamBadCommand, "": "invalid_query"} {
		_, err := c.run(t.Context(), client.ExecOptions{Command: []string{command}, Stdout: io.Discard, Stderr: io.Discard})
		var refused *client.Error
		if !errors.As(err, &refused) || refused.Status != 422 || refused.Code != code {
			t.Errorf("command %q: %v", command, err)
		}
	}
	if _, _, err := c.s.Oak(t.Context(), "exec", "talk.7", "--", "/console"); err == nil || !strings.Contains(err.Error(), "has no instance 7") {
		t.Errorf("in an instance that is not there: %v", err)
	}
	began = time.Now()
	const n = 20
	for range n {
		if _, err := c.run(t.Context(), client.ExecOptions{Command: []string{"/console", "exit", "0"}, Stdout: io.Discard, Stderr: io.Discard}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("a command takes %s", (time.Since(began) / n).Round(time.Millisecond))
}

func (c *streamer) terminal(t *testing.T) {
	var screen transcript
	keys, hands := io.Pipe()
	sizes := make(chan wire.TerminalSize)
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := c.run(t.Context(), client.ExecOptions{Command: []string{"/console", "tty"}, TTY: true, Size: wire.TerminalSize{Columns: 91, Rows: 31},
			Resize: sizes, Stdin: keys, Stdout: &screen, Stderr: &screen})
		done <- result{code, err}
	}()
	screen.await(t, "size 91×31", 10*time.Second)
	sizes <- wire.TerminalSize{Columns: 120, Rows: 40}
	screen.await(t, "size 120×40", 10*time.Second)
	_, _ = hands.Write([]byte("typed"))
	screen.await(t, "typed", 10*time.Second)
	_, _ = hands.Write([]byte{3})
	if r := <-done; r.err != nil || r.code == 0 {
		t.Errorf("Ctrl-C: %+v", r)
	}
}

func (c *streamer) logs(t *testing.T) {
	out, _, err := c.s.Oak(t.Context(), "logs", "--tail", "5", "talk")
	if err != nil || strings.Count(out, "\n") != 5 || !strings.HasPrefix(out, "line ") {
		t.Errorf("%v: %q", err, out)
	}
	out, _, err = c.s.Oak(t.Context(), "logs", "--timestamps", "--since", "1s", "talk.0")
	if n := strings.Count(out, "\n"); err != nil || n < 10 || n > 80 {
		t.Errorf("%v: a second of a line each 20 ms has %d lines", err, n)
	}
	first, _, _ := strings.Cut(out, " ")
	if at, err := time.Parse(time.RFC3339Nano, first); err != nil || time.Since(at) > 5*time.Second {
		t.Errorf("%v: time %q", err, first)
	}
	followed, stop := background(t, c.s, "logs", "-f", "--tail", "1", "talk.0")
	followed.await(t, "line ", 10*time.Second)
	time.Sleep(500 * time.Millisecond)
	if n := strings.Count(followed.String(), "\n"); n < 5 {
		t.Errorf("only %d lines came in half a second", n)
	}
	if err := stop(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

// slowReader has a command print without end to somebody who takes nothing for longer than a dead peer is waited for.
func (c *streamer) slowReader(t *testing.T) {
	before := c.memory(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &slowWriter{pause: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := c.run(ctx, client.ExecOptions{Command: []string{"/console", "flood"}, Stdout: w, Stderr: io.Discard})
		done <- err
	}()
	time.Sleep(12 * time.Second)
	for name, now := range c.memory(t) {
		if grown := now - before[name]; grown > 24<<10 {
			t.Errorf("%s has grown by %d KiB behind a reader that takes nothing", name, grown)
		}
	}
	close(w.pause)
	until(t, 30*time.Second, func(context.Context) error {
		if n := w.taken(); n < 32<<20 {
			return fmt.Errorf("%d bytes came once they were taken", n)
		}
		return nil
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.nothingLeft(t)
}

type slowWriter struct {
	pause chan struct{}
	mu    sync.Mutex
	n     int
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.pause
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n += len(p)
	return len(p), nil
}

func (w *slowWriter) taken() int { w.mu.Lock(); defer w.mu.Unlock(); return w.n }

// abandoned asks for a hundred commands and goes at any time.
func (c *streamer) abandoned(t *testing.T) {
	files := c.files(t)
	var all sync.WaitGroup
	for i := range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(i)*5*time.Millisecond, cancel)
		all.Go(func() {
			_, _ = c.run(ctx, client.ExecOptions{Command: []string{"/console", "wait"}, Stdout: io.Discard, Stderr: io.Discard})
			cancel()
		})
	}
	all.Wait()
	c.nothingLeft(t)
	until(t, 30*time.Second, func(context.Context) error {
		for name, n := range c.files(t) {
			if n > files[name]+25 { // connections are kept for a while; what leaks would be one for each request
				return fmt.Errorf("%s has %d files open, %d before", name, n, files[name])
			}
		}
		return nil
	})
}

var number = regexp.MustCompile(`(?m)^line (\d+)$`)

// followAcrossRestarts kills one program after the other while somebody follows a log, who sees each line once.
func (c *streamer) followAcrossRestarts(t *testing.T) {
	out, stop := background(t, c.s, "logs", "-f", "--reconnect", "--tail", "1", "talk.0")
	out.await(t, "line ", 10*time.Second)
	for _, part := range []string{"NodeEngine@c1-w1", "cluster-orchestrator@c1", "root-orchestrator@root"} {
		fault(t, testbed.Kill, part)
		time.Sleep(time.Second)
		fault(t, testbed.Restart, part)
		before := len(number.FindAllString(out.String(), -1))
		until(t, time.Minute, func(context.Context) error {
			if n := len(number.FindAllString(out.String(), -1)); n < before+100 {
				return fmt.Errorf("%d lines after %s was killed: %s", n-before, part, tailOf(out.String()))
			}
			return nil
		})
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	last := -1
	for _, m := range number.FindAllStringSubmatch(out.String(), -1) {
		var n int
		_, _ = fmt.Sscan(m[1], &n)
		if last >= 0 && n != last+1 {
			t.Fatalf("line %d came after line %d", n, last)
		}
		last = n
	}
	t.Logf("each of the lines up to %d came once", last)
}

func tailOf(text string) string { return text[max(0, len(text)-500):] }

// killed ends each tier under a command: its user is told within 10 s, and nothing of it stays.
func (c *streamer) killed(t *testing.T) {
	for _, part := range []string{"NodeEngine@c1-w1", "cluster-orchestrator@c1", "root-orchestrator@root"} {
		done := c.waiting(t)
		fault(t, testbed.Kill, part)
		c.told(t, part, done)
		fault(t, testbed.Restart, part)
		until(t, time.Minute, func(ctx context.Context) error {
			_, err := c.run(ctx, client.ExecOptions{Command: []string{"/console", "exit", "0"}, Stdout: io.Discard, Stderr: io.Discard})
			return err
		})
		c.nothingLeft(t)
	}
}

// cut cuts the worker off without a word.
func (c *streamer) cut(t *testing.T) {
	done := c.waiting(t)
	if err := c.s.Testbed.AddCut(t.Context(), "c1", "c1-w1"); err != nil {
		t.Fatal(err)
	}
	c.told(t, "the cut", done)
	c.nothingLeft(t)
	if err := c.s.Testbed.Heal(t.Context(), "c1", "c1-w1"); err != nil {
		t.Fatal(err)
	}
}

// waiting starts a command that waits.
func (c *streamer) waiting(t *testing.T) <-chan error {
	t.Helper()
	var out transcript
	done := make(chan error, 1)
	go func() {
		_, err := c.run(t.Context(), client.ExecOptions{Command: []string{"/console", "wait"}, Stdout: &out, Stderr: &out})
		done <- err
	}()
	out.await(t, "waiting", 20*time.Second)
	return done
}

func (c *streamer) told(t *testing.T, what string, done <-chan error) {
	t.Helper()
	began := time.Now()
	select {
	case err := <-done:
		var broken *client.StreamError
		if !errors.As(err, &broken) || broken.Code != wire.StreamLost {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: told after %s: %v", what, time.Since(began).Round(time.Millisecond), err)
	case <-time.After(10 * time.Second):
		t.Errorf("%s: not told within 10 s", what)
	}
}

// nothingLeft waits until no command runs in the container and no request for one is stored.
func (c *streamer) nothingLeft(t *testing.T) {
	t.Helper()
	until(t, 30*time.Second, func(ctx context.Context) error {
		if n := processes("/console\x00wait\x00") + processes("/console\x00flood\x00"); n > 0 {
			return fmt.Errorf("%d commands still run", n)
		}
		left, err := c.requests(ctx)
		if err == nil && left > 0 {
			err = fmt.Errorf("%d requests are stored", left)
		}
		return err
	})
}

// processes counts those with a command line.
func processes(cmdline string) (n int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range all {
		if text, err := os.ReadFile(f); err == nil && string(text) == cmdline {
			n++
		}
	}
	return n
}
