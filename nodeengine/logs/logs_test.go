// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const id = "aaaaaaaaaaaaaaaaaaaaaaaa.0.1-1"

func open(t testing.TB, dir string, most int64) *Folder {
	t.Helper()
	f, err := Open(dir, most, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return f
}

// write appends as a shim does: with a file that is held open for appending.
func write(t testing.TB, f *Folder, text string) {
	t.Helper()
	file, err := os.OpenFile(f.Path(id), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

type collector struct {
	mu   sync.Mutex
	text bytes.Buffer
	pos  int64
	gaps int64
	hold chan struct{}
}

func (c *collector) Write(p []byte, pos int64) error {
	if c.hold != nil {
		<-c.hold
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p)
	c.pos = pos
	return nil
}

func (c *collector) Gap(n int64) error { c.mu.Lock(); defer c.mu.Unlock(); c.gaps += n; return nil }

func (c *collector) String() string { c.mu.Lock(); defer c.mu.Unlock(); return c.text.String() }

func read(t testing.TB, f *Folder, o Options) string {
	t.Helper()
	var c collector
	require.NoError(t, f.Read(t.Context(), id, o, &c))
	return c.String()
}

var all = Options{From: -1, Tail: -1}

func TestTail(t *testing.T) {
	f := open(t, t.TempDir(), 1<<20)
	require.Empty(t, read(t, f, all), "a log that is not there is empty")
	write(t, f, "one\ntwo\nthree\n")
	for n, want := range map[int]string{-1: "one\ntwo\nthree\n", 0: "", 1: "three\n", 2: "two\nthree\n", 3: "one\ntwo\nthree\n", 9: "one\ntwo\nthree\n"} {
		require.Equal(t, want, read(t, f, Options{From: -1, Tail: n}), "tail %d", n)
	}
	write(t, f, "open")
	require.Equal(t, "open", read(t, f, Options{From: -1, Tail: 1}), "a last line without an end is one")
	require.Equal(t, "three\nopen", read(t, f, Options{From: -1, Tail: 2}))
}

// TestPositionsOutliveRotation reads a log that rotates at any place, also after a restart, from any position.
func TestPositionsOutliveRotation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		require.NoError(t, err)
		most := int64(rapid.IntRange(10, 200).Draw(rt, "most"))
		f := open(t, dir, most)
		var whole string
		for n := range rapid.IntRange(1, 30).Draw(rt, "writes") {
			line := fmt.Sprintf("%d %s\n", n, strings.Repeat("x", rapid.IntRange(0, 40).Draw(rt, "length")))
			write(t, f, line)
			whole += line
			if rapid.Bool().Draw(rt, "seen") {
				require.NoError(t, f.note(id, time.Now()))
			}
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				f = open(t, dir, most)
				require.NoError(t, f.scan())
			}
		}
		var c collector
		require.NoError(t, f.Read(t.Context(), id, Options{From: 0}, &c))
		require.EqualValues(t, len(whole), c.pos)
		require.Equal(t, whole[c.gaps:], c.String(), "what is kept is the end of what was written, and the gap is told")
		from := int64(rapid.IntRange(int(c.gaps), len(whole)).Draw(rt, "from"))
		var rest collector
		require.NoError(t, f.Read(t.Context(), id, Options{From: from}, &rest))
		require.Equal(t, whole[from:], rest.String())
		require.Zero(t, rest.gaps)
		lines := strings.SplitAfter(strings.TrimSuffix(c.String(), "\n"), "\n")
		tail := rapid.IntRange(0, len(lines)).Draw(rt, "tail")
		require.Equal(t, strings.Join(lines[len(lines)-tail:], ""), strings.TrimSuffix(read(t, f, Options{From: -1, Tail: tail}), "\n"))
		require.NoError(t, f.note(id, time.Now()))
		st, err := os.Stat(f.Path(id))
		require.NoError(t, err)
		require.LessOrEqual(t, st.Size(), most)
	})
}

func TestTimes(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, 1<<20)
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for i, text := range []string{"a\n", "b\nc\n", "d\n"} {
		write(t, f, text)
		require.NoError(t, f.note(id, noon.Add(time.Duration(i)*time.Minute)))
	}
	f = open(t, dir, 1<<20) // times are kept
	write(t, f, "away\n")
	require.NoError(t, os.Chtimes(f.Path(id), noon.Add(time.Hour), noon.Add(time.Hour)))
	require.NoError(t, f.scan())
	o := all
	o.Timestamps = true
	require.Equal(t, "2026-01-02T12:00:00.000Z a\n2026-01-02T12:01:00.000Z b\n2026-01-02T12:01:00.000Z c\n2026-01-02T12:02:00.000Z d\n"+
		"2026-01-02T13:00:00.000Z away\n", read(t, f, o))
	o = all
	for at, want := range map[time.Duration]string{0: "a\nb\nc\nd\naway\n", time.Second: "b\nc\nd\naway\n", 2 * time.Minute: "d\naway\n",
		3 * time.Minute: "away\n", 2 * time.Hour: ""} {
		o.Since = noon.Add(at)
		require.Equal(t, want, read(t, f, o), "since %s", at)
	}
	o.Since, o.Tail = noon.Add(time.Second), 2
	require.Equal(t, "d\naway\n", read(t, f, o))
}

func TestTimesStayBounded(t *testing.T) {
	tm, err := loadTimes(filepath.Join(t.TempDir(), "x"))
	require.NoError(t, err)
	begin := time.Unix(1_000_000, 0)
	const n = 3 * maxMarks
	for i := range n {
		require.NoError(t, tm.mark(int64(i+1), begin.Add(time.Duration(i)*time.Second)))
	}
	require.LessOrEqual(t, len(tm.marks), maxMarks)
	st, err := os.Stat(tm.path)
	require.NoError(t, err)
	require.LessOrEqual(t, st.Size(), int64((maxMarks+1)*markSize))
	for _, pos := range []int64{1, 2, n / 2, n - 1} {
		seen := tm.of(pos, time.Now())
		require.GreaterOrEqual(t, seen.Unix(), begin.Unix()+pos-1, "no byte seems older than it is")
		require.LessOrEqual(t, seen.Unix(), begin.Unix()+pos+40)
	}
	again, err := loadTimes(tm.path)
	require.NoError(t, err)
	require.Equal(t, tm.marks, again.marks)
}

func TestFollowAcrossRotationAndUntilTheEnd(t *testing.T) {
	f := open(t, t.TempDir(), 4096)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	defer running.Wait()
	defer cancel()
	var ended sync.Once
	over := make(chan struct{})
	c := &collector{}
	done := make(chan error, 1)
	o := Options{From: -1, Tail: -1, Follow: true, Ended: func() bool {
		select {
		case <-over:
			return true
		default:
			return false
		}
	}}
	go func() { done <- f.Read(ctx, id, o, c) }()
	size := func() int64 {
		st, err := os.Stat(f.Path(id))
		assert.NoError(t, err)
		return st.Size()
	}
	var whole strings.Builder
	for i := range 400 {
		line := fmt.Sprintf("line %d %s\n", i, strings.Repeat("y", 50))
		whole.WriteString(line)
		write(t, f, line)
		// The reader keeps up, and nothing is written during a rotation, so that nothing may be missing.
		if i%50 == 49 || size() > 4096 {
			require.Eventually(t, func() bool { return c.String() == whole.String() && size() <= 4096 }, 10*time.Second, time.Millisecond)
		}
	}
	ended.Do(func() { close(over) })
	require.NoError(t, <-done)
	require.Equal(t, whole.String(), c.String())
	require.Zero(t, c.gaps)
}

func TestSlowReaderHoldsUpNobody(t *testing.T) {
	f := open(t, t.TempDir(), 64<<10)
	c := &collector{hold: make(chan struct{})}
	done := make(chan error, 1)
	write(t, f, "first\n")
	require.NoError(t, f.note(id, time.Now()))
	go func() {
		done <- f.Read(t.Context(), id, Options{From: 0, Follow: true, Ended: func() bool { return true }}, c)
	}()
	for range 10 { // rotation does not wait for the reader
		write(t, f, strings.Repeat("z", 99)+"\n"+strings.Repeat("z", 70_000)+"\n")
		require.NoError(t, f.note(id, time.Now()))
	}
	close(c.hold)
	require.NoError(t, <-done)
}

func TestDropWhileFollowed(t *testing.T) {
	f := open(t, t.TempDir(), 1<<20)
	write(t, f, "x\n")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	c := &collector{}
	go func() {
		done <- f.Read(ctx, id, Options{From: -1, Tail: -1, Follow: true, Ended: func() bool { return false }}, c)
	}()
	require.Eventually(t, func() bool { return c.String() == "x\n" }, 5*time.Second, time.Millisecond)
	require.NoError(t, f.Drop(id))
	require.NoError(t, f.Drop("none"))
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Empty(t, f.logs, "nothing is remembered of a log that is gone and that nobody reads")
}

func FuzzTimes(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		tm, err := loadTimes(path)
		require.NoError(t, err)
		require.NoError(t, tm.mark(5, time.Now()))
		require.NoError(t, tm.rotated(10))
	})
}
