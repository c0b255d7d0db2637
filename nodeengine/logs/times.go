// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"time"
)

// maxMarks bounds the marks of one log; beyond it every other one goes, so that times get coarser.
const maxMarks = 1 << 14

const markSize = 16

// mark says that everything before position At was written until Nanos, in Unix time; or, with Nanos 0, that the file begins at position At.
type mark struct{ At, Nanos int64 }

// times remembers when what of one log was written. It is a file of marks, appended to.
type times struct {
	path  string
	base  int64  // position of the first byte of the log's file
	marks []mark // by rising At, without those of kind begin
}

func loadTimes(path string) (*times, error) {
	t := &times{path: path}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read times of log: %w", err)
	}
	for ; len(data) >= markSize; data = data[markSize:] { // half a mark, of a power cut, is left out
		m := mark{int64(binary.LittleEndian.Uint64(data)), int64(binary.LittleEndian.Uint64(data[8:]))}
		if m.At < t.last() || m.At < 0 {
			continue // nothing that this program has written
		}
		if m.Nanos == 0 {
			t.base = m.At
		} else {
			t.marks = append(t.marks, m)
		}
	}
	return t, nil
}

// last returns the highest position known.
func (t *times) last() int64 {
	if n := len(t.marks); n > 0 {
		return max(t.base, t.marks[n-1].At)
	}
	return t.base
}

// mark notes that the file has so many bytes.
func (t *times) mark(size int64, at time.Time) error {
	m := mark{t.base + size, at.UnixNano()}
	if m.At <= t.last() {
		return nil
	}
	if len(t.marks) >= maxMarks {
		kept := make([]mark, 0, maxMarks/2+1)
		for i := 1; i < len(t.marks); i += 2 { // of each two the later, so that no byte seems older than it is
			kept = append(kept, t.marks[i])
		}
		kept = append(kept, m)
		t.marks = kept
		return t.rewrite()
	}
	t.marks = append(t.marks, m)
	return t.append(m)
}

// rotated notes that the file is about to be emptied after so many bytes of it, and forgets what is too old to be read.
func (t *times) rotated(size int64) error {
	old := t.base
	t.base += size
	i := sort.Search(len(t.marks), func(i int) bool { return t.marks[i].At > old })
	t.marks = append([]mark(nil), t.marks[i:]...)
	return t.rewrite()
}

func (t *times) append(m mark) error {
	file, err := os.OpenFile(t.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(encode(nil, m))
	return errors.Join(err, file.Close())
}

// rewrite writes all anew, as a whole or not at all.
func (t *times) rewrite() error {
	data := make([]byte, 0, (len(t.marks)+1)*markSize)
	began := false
	for _, m := range t.marks {
		if !began && m.At >= t.base {
			data, began = encode(data, mark{At: t.base}), true
		}
		data = encode(data, m)
	}
	if !began {
		data = encode(data, mark{At: t.base})
	}
	// Without fsync: after a power cut times may be gone, which are of no use to anything but people.
	if err := os.WriteFile(t.path+"~", data, 0o600); err != nil {
		return err
	}
	return os.Rename(t.path+"~", t.path)
}

func encode(data []byte, m mark) []byte {
	data = binary.LittleEndian.AppendUint64(data, uint64(m.At))
	return binary.LittleEndian.AppendUint64(data, uint64(m.Nanos))
}

// of returns when the byte before a position was written at the latest; now if that is not known yet.
func (t *times) of(position int64, now time.Time) time.Time {
	i := sort.Search(len(t.marks), func(i int) bool { return t.marks[i].At >= position })
	if i == len(t.marks) {
		return now
	}
	return time.Unix(0, t.marks[i].Nanos)
}

// since returns the position after which everything was written at that time or later.
func (t *times) since(at time.Time) int64 {
	i := sort.Search(len(t.marks), func(i int) bool { return t.marks[i].Nanos >= at.UnixNano() })
	if i == 0 {
		return 0
	}
	return t.marks[i-1].At
}
