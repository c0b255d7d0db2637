// SPDX-License-Identifier: Apache-2.0

package statefile

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func lines(all ...any) iter.Seq[any] { return slices.Values(all) }

func readAll(t *testing.T, path string) (out []string) {
	t.Helper()
	if err := ReadJournal(path, func(line []byte) error { out = append(out, string(line)); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJournalSaysWhatWasWrittenAndAdded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deeper", "state.jsonl")
	if err := ReadJournal(path, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("missing file: %v", err)
	}
	j := NewJournal(path)
	defer j.Close()
	if err := j.Append(lines(1)); err == nil || !j.Due() {
		t.Fatal("something was added to what was never written")
	}
	for _, step := range []struct {
		do   func(iter.Seq[any]) error
		line []any
		want string
	}{
		{j.Rewrite, []any{1, "two"}, `1 "two"`}, {j.Append, []any{3}, `1 "two" 3`}, {j.Append, nil, `1 "two" 3`},
		{j.Rewrite, []any{4}, `4`}, {j.Append, []any{5, 6}, `4 5 6`},
	} {
		if err := step.do(lines(step.line...)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(readAll(t, path), " "); got != step.want {
			t.Fatalf("it says %s, want %s", got, step.want)
		}
		if j.Due() {
			t.Fatal("it is to be written anew already")
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, err %v; want 0600", st.Mode(), err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if len(left) != 0 {
		t.Fatalf("temporary files left: %v", left)
	}
}

func TestJournalIsWrittenAnewWhenItHasGrown(t *testing.T) {
	j := NewJournal(filepath.Join(t.TempDir(), "state.jsonl"))
	defer j.Close()
	if err := j.Rewrite(lines()); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", slack/4)
	n := 0
	for ; !j.Due(); n++ {
		if err := j.Append(lines(long)); err != nil {
			t.Fatal(err)
		}
		if n > 100 {
			t.Fatal("it grows without bound")
		}
	}
	if n != 4 {
		t.Errorf("due after %d lines of a quarter of the slack, want 4", n)
	}
}

// What cannot be encoded leaves the journal as it was, to be written anew.
func TestJournalSurvivesWhatCannotBeEncoded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.jsonl")
	j := NewJournal(path)
	defer j.Close()
	if err := j.Rewrite(lines(1)); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(lines(2, make(chan int))); err == nil || !j.Due() {
		t.Fatalf("added a channel: %v", err)
	}
	if err := j.Rewrite(lines(3, make(chan int))); err == nil || !j.Due() {
		t.Fatalf("wrote a channel: %v", err)
	}
	if got := readAll(t, path); !slices.Equal(got, []string{"1"}) {
		t.Fatalf("it says %v, want what was there", got)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) != 0 {
		t.Fatalf("temporary files left: %v", left)
	}
}

// A power cut while a line is written takes that line, and a bad one takes itself alone.
func TestJournalWithBadLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.jsonl")
	if err := os.WriteFile(path, []byte("1\nbad\n3\n{\"a\":"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := ReadJournal(path, func(line []byte) error {
		if string(line) == "bad" {
			return errors.New("no number")
		}
		got = append(got, string(line))
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "line 2: no number") || !slices.Equal(got, []string{"1", "3"}) {
		t.Fatalf("read %v, %v", got, err)
	}
}
