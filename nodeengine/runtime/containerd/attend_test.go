// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// buffer is one that is written and read at the same time.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}
func (b *buffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.text.String() }

func (b *buffer) await(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !strings.Contains(b.String(), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q lacks %q", b, want)
		}
	}
}

// processes counts what runs in a container.
func (g *rig) attended(id string) int {
	g.t.Helper()
	task, err := g.task(g.t.Context(), id)
	if err != nil {
		g.t.Fatal(err)
	}
	pids, err := task.Pids(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	return len(pids)
}

func testAttend(t *testing.T, g *rig) {
	id := g.start(g.instance(20))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var out, failed buffer
	started := 0
	code, err := g.Attend(ctx, id, runtime.Process{Command: []string{"/probe", "say", "hello", "trouble", "3"}, Stdout: &out, Stderr: &failed,
		Started: func() { started++ }})
	if err != nil || code != 3 || out.String() != "hello 1\n" || failed.String() != "trouble\n" || started != 1 {
		t.Errorf("%d %v %q %q, started %d times", code, err, &out, &failed, started)
	}

	input := strings.Repeat("0123456789abcdef", 1<<16) // a mebibyte: more than pipes hold
	var copied buffer
	code, err = g.Attend(ctx, id, runtime.Process{Command: []string{"/probe", "cat"}, Stdin: strings.NewReader(input), Stdout: &copied, Stderr: &failed})
	if err != nil || code != 0 || copied.String() != input {
		t.Errorf("%d %v, %d of %d bytes came back", code, err, len(copied.String()), len(input))
	}

	var screen buffer
	keys, typing := io.Pipe()
	sizes, signals := make(chan runtime.Size), make(chan int)
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := g.Attend(ctx, id, runtime.Process{Command: []string{"/probe", "size"}, TTY: true, Size: runtime.Size{Columns: 100, Rows: 30}, Stdin: keys,
			Stdout: &screen, Stderr: &screen, Resize: sizes, Signals: signals})
		done <- result{code, err}
	}()
	screen.await(t, "size 100 30 errno 0")
	sizes <- runtime.Size{Columns: 120, Rows: 40}
	screen.await(t, "size 120 40 errno 0")
	_, _ = typing.Write([]byte("echoed"))
	screen.await(t, "echoed")
	_, _ = typing.Write([]byte{3}) // Ctrl-C: the terminal makes a signal of it
	if r := <-done; r.err != nil || r.code != 128+int(syscall.SIGINT) && r.code != 2 {
		t.Errorf("a process that was interrupted ended with %+v", r)
	}

	for _, command := range [][]string{{"/nothing/here"}, {"none"}, {"/etc"}} {
		var refused *runtime.CommandError
		if _, err := g.Attend(ctx, id, runtime.Process{Command: command, Stdout: &out, Stderr: &out}); !errors.As(err, &refused) {
			t.Errorf("%v: %v", command, err)
		}
	}
	began := time.Now()
	var background buffer
	code, err = g.Attend(ctx, id, runtime.Process{Command: []string{"/probe", "background"}, Stdout: &background, Stderr: &out})
	if err != nil || code != 0 || !strings.HasPrefix(background.String(), "gone <nil>\n") || time.Since(began) > 8*time.Second {
		t.Errorf("a command that left a child: %d %v %q after %s", code, err, &background, time.Since(began))
	}
	if _, err := g.Attend(ctx, "aaaaaaaaaaaaaaaaaaaaaaaa.99.1-1", runtime.Process{Command: []string{"x"}}); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("in no container: %v", err)
	}
	dead := g.start(g.instance(21, "exit", "0"))
	g.wait(dead)
	if _, err := g.Attend(ctx, dead, runtime.Process{Command: []string{"/probe"}, Stdout: &out, Stderr: &out}); !errors.Is(err, runtime.ErrNotRunning) {
		t.Errorf("in a container that has ended: %v", err)
	}
	if left, _ := os.ReadDir(g.execDir()); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// testAttendEnds leaves commands in every way and counts what is left of them.
func testAttendEnds(t *testing.T, g *rig) {
	id := g.start(g.instance(22))
	for _, command := range []string{"stay", "stubborn", "flood"} {
		ctx, cancel := context.WithCancel(t.Context())
		began := make(chan struct{})
		r, w := io.Pipe() // nobody reads: the command stands still
		go func() { <-began; time.Sleep(50 * time.Millisecond); cancel(); _ = r.Close() }()
		_, err := g.Attend(ctx, id, runtime.Process{Command: []string{"/probe", command}, Stdout: w, Stderr: w, Started: func() { close(began) }})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", command, err)
		}
	}
	if n := g.attended(id); n != 1 {
		t.Errorf("%d processes are left", n-1)
	}

	// Another NodeEngine, which was killed, left this.
	other := &rig{t: t, server: g.server, registry: g.registry, image: g.image, netns: g.netns}
	other.connect()
	began := make(chan struct{})
	var out buffer
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = other.Attend(t.Context(), id, runtime.Process{Command: []string{"/probe", "stubborn"}, Stdout: &out, Stderr: &out, Started: func() { close(began) }})
	}()
	<-began
	if n := g.attended(id); n != 2 {
		t.Errorf("%d processes", n)
	}
	if err := g.EndCommands(t.Context()); err != nil {
		t.Error(err)
	}
	if n := g.attended(id); n != 1 {
		t.Errorf("%d processes are left", n-1)
	}
	<-ended
	_ = other.Close()
	if left, _ := os.ReadDir(g.execDir()); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
