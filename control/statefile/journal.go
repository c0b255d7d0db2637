// SPDX-License-Identifier: Apache-2.0

package statefile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

// maxJournal bounds what [ReadJournal] takes in, in bytes; each line is bounded by [MaxSize].
const maxJournal = 4 * MaxSize

// slack is by how much a journal may grow, beside half of what it was, before it is to be written anew.
const slack = 1 << 20

// Journal is state that is large and changes little by little: a file of JSON lines, to which changes are added. A power cut finds it
// with some of the latest ones or without, and in no other way different. Its methods are for one goroutine at a time.
type Journal struct {
	path string
	file *os.File // nil: has to be written anew
	// size is the file's, base what it was when it was last written anew.
	size, base int64
}

// NewJournal returns a journal at path, which has to be written before anything is added: nobody adds to what another process has left.
func NewJournal(path string) *Journal { return &Journal{path: path} }

// Due reports whether the journal is to be written anew: it never was, or could not be written last, or says much that no longer holds.
func (j *Journal) Due() bool {
	return j.file == nil || j.size > j.base+j.base/2+slack
}

// Rewrite replaces all that the journal says. One line is in memory at a time.
func (j *Journal) Rewrite(lines iter.Seq[any]) (err error) {
	j.abandon()
	dir := filepath.Dir(j.path)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(j.path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write state %s: %w", j.path, err)
	}
	out := bufio.NewWriterSize(f, 1<<16)
	encoder := json.NewEncoder(out)
	for line := range lines {
		if err = encoder.Encode(line); err != nil {
			break
		}
	}
	size := int64(0)
	if err = errors.Join(err, out.Flush(), f.Chmod(fileMode), f.Sync()); err == nil {
		size, err = f.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		err = os.Rename(f.Name(), j.path)
	}
	if err != nil {
		_, _ = f.Close(), os.Remove(f.Name())
		return fmt.Errorf("write state %s: %w", j.path, err)
	}
	if err := syncDir(dir); err != nil {
		_ = f.Close()
		return err
	}
	j.file, j.size, j.base = f, size, size
	return nil
}

// Append adds changes, which are durable when it returns. After an error the journal is to be written anew.
func (j *Journal) Append(lines iter.Seq[any]) error {
	if j.file == nil {
		return fmt.Errorf("add to state %s: it has to be written first", j.path)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	for line := range lines {
		if err := encoder.Encode(line); err != nil {
			j.abandon()
			return fmt.Errorf("encode state for %s: %w", j.path, err)
		}
	}
	if b.Len() == 0 {
		return nil
	}
	n, err := j.file.Write(b.Bytes())
	j.size += int64(n)
	if err = errors.Join(err, j.file.Sync()); err != nil {
		j.abandon()
		return fmt.Errorf("add to state %s: %w", j.path, err)
	}
	return nil
}

// Close lets go of the file; what it says stays.
func (j *Journal) Close() { j.abandon() }

func (j *Journal) abandon() {
	if j.file != nil {
		_ = j.file.Close() // whatever was reported durable has been synced
		j.file = nil
	}
}

// ReadJournal calls f with each line of the journal at path. A last line without an end was being written when the power went, and is left out.
// The error wraps [io/fs.ErrNotExist] if there is no such file; those of f are joined, and the other lines count.
func ReadJournal(path string, f func(line []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	defer func() { _ = file.Close() }()
	st, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if st.Size() > maxJournal {
		return fmt.Errorf("read state %s: larger than %d bytes: not a state file of this program", path, maxJournal)
	}
	in := bufio.NewScanner(file)
	in.Buffer(make([]byte, 1<<16), MaxSize)
	in.Split(wholeLines)
	var errs []error
	for n := 1; in.Scan(); n++ {
		if err := f(in.Bytes()); err != nil && len(errs) < maxComplaints {
			errs = append(errs, fmt.Errorf("read state %s: line %d: %w", path, n, err))
		}
	}
	if err := in.Err(); err != nil {
		errs = append(errs, fmt.Errorf("read state %s: %w", path, err))
	}
	return errors.Join(errs...)
}

// maxComplaints bounds how many bad lines an error names.
const maxComplaints = 8

// wholeLines is [bufio.ScanLines] without what has no end.
func wholeLines(data []byte, _ bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	return 0, nil, nil
}

// Remove removes a file of state; that there is none is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove state: %w", err)
	}
	return nil
}
