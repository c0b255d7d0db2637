// SPDX-License-Identifier: Apache-2.0

package statefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWriteReadsBackAndIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deeper", "state.json")
	for _, want := range []map[string]int{{"a": 1}, {"b": 2, "c": 3}} {
		if err := Write(path, want); err != nil {
			t.Fatal(err)
		}
		var got map[string]int
		if err := Read(path, &got); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
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

func TestReadFailures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	var v map[string]int
	if err := Read(path, &v); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"a":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Read(path, &v); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("broken file: %v", err)
	}
}

func TestUnencodableLeavesTheOldState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if err := Write(path, 7); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, make(chan int)); err == nil {
		t.Fatal("a channel was encoded")
	}
	var n int
	if err := Read(path, &n); err != nil || n != 7 {
		t.Fatalf("got %d, %v", n, err)
	}
}

func TestRaiseCounterNeverGivesAValueTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counter")
	const callers, each = 4, 5
	var mu sync.Mutex
	seen := map[uint64]bool{}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				n, err := RaiseCounter(path)
				mu.Lock()
				if err != nil || seen[n] {
					t.Errorf("value %d, err %v", n, err)
				}
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if !seen[1] || !seen[callers*each] {
		t.Fatalf("values are not 1 to %d: %v", callers*each, seen)
	}
}

func TestRaiseCounterRefusesABrokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counter")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := RaiseCounter(path); err == nil {
		t.Fatal("a broken counter started anew, so an old value would come again")
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "lock")
	first, err := Lock(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(path, 0); !errors.Is(err, ErrLocked) {
		t.Fatalf("a lock that is held was taken: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = first.Close() })
	second, err := Lock(path, 10*time.Second)
	if err != nil {
		t.Fatalf("the lock was given back while waited for: %v", err)
	}
	_ = second.Close()
}
