// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	suffix    = ".log"
	oldSuffix = ".1" // of what was rotated out, after suffix
	timesDir  = "times"
)

// Folder is the folder of logs.
type Folder struct {
	dir string
	max int64
	log *slog.Logger

	// files is held for writing while files are exchanged or deleted, for reading while they are read.
	files sync.RWMutex

	mu   sync.Mutex
	logs map[string]*entry
}

// entry is one log.
type entry struct {
	times *times
	// readers are woken when there is more to read.
	readers map[chan struct{}]struct{}
}

// Open returns the folder at dir, which it makes. A log of more than most bytes is rotated; twice as much is kept at most.
func Open(dir string, most int64, log *slog.Logger) (*Folder, error) {
	if err := os.MkdirAll(filepath.Join(dir, timesDir), 0o700); err != nil {
		return nil, fmt.Errorf("open folder of logs: %w", err)
	}
	return &Folder{dir: dir, max: most, log: log, logs: map[string]*entry{}}, nil
}

// Path returns the file to which the log of id has to be appended.
func (f *Folder) Path(id string) string { return filepath.Join(f.dir, id+suffix) }

func (f *Folder) oldPath(id string) string   { return f.Path(id) + oldSuffix }
func (f *Folder) timesPath(id string) string { return filepath.Join(f.dir, timesDir, id) }

// Drop deletes the log of id. No log is no error.
func (f *Folder) Drop(id string) error {
	f.files.Lock()
	defer f.files.Unlock()
	var errs []error
	for _, p := range []string{f.Path(id), f.oldPath(id), f.timesPath(id)} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("delete log: %w", err))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.logs[id]; e != nil {
		e.wake()
		if delete(f.logs, id); len(e.readers) > 0 {
			e.times = nil
			f.logs[id] = e // until its readers have noticed
		}
	}
	return errors.Join(errs...)
}

func (e *entry) wake() {
	for ch := range e.readers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// entryOf returns the entry of id with its times loaded. The caller holds files.
func (f *Folder) entryOf(id string) (*entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.logs[id]
	if e == nil {
		e = &entry{readers: map[chan struct{}]struct{}{}}
		f.logs[id] = e
	}
	if e.times == nil {
		t, err := loadTimes(f.timesPath(id))
		if err != nil {
			return nil, err
		}
		e.times = t
	}
	return e, nil
}

// listen has ch signalled when there is more to read of id, until the returned function is called.
func (f *Folder) listen(id string, ch chan struct{}) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.logs[id]
	if e == nil {
		e = &entry{readers: map[chan struct{}]struct{}{}}
		f.logs[id] = e
	}
	e.readers[ch] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(e.readers, ch)
		if e.times == nil && len(e.readers) == 0 && f.logs[id] == e {
			delete(f.logs, id)
		}
	}
}

// note takes in that the log of id has changed: it wakes readers, remembers the time, and rotates the file if it is too large. seen is when
// that was written at the latest; zero for the file's last change.
func (f *Folder) note(id string, seen time.Time) error {
	f.files.RLock()
	st, err := os.Stat(f.Path(id))
	if err != nil {
		f.files.RUnlock()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if seen.IsZero() {
		seen = st.ModTime()
	}
	e, err := f.entryOf(id)
	if err == nil {
		f.mu.Lock()
		if e.times != nil {
			err = e.times.mark(st.Size(), seen)
		}
		e.wake()
		f.mu.Unlock()
	}
	f.files.RUnlock()
	if err != nil {
		return fmt.Errorf("note times of log %s: %w", id, err)
	}
	if st.Size() > f.max {
		return f.rotate(id)
	}
	return nil
}

// rotate keeps the last bytes of a log under another name and empties it. Who writes holds the file open for appending, so that it cannot
// be renamed; what is written between the last look and the emptying is lost, some microseconds' worth.
func (f *Folder) rotate(id string) error {
	f.files.Lock()
	defer f.files.Unlock()
	e, err := f.entryOf(id)
	if err != nil {
		return err
	}
	in, err := os.OpenFile(f.Path(id), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	defer func() { _ = in.Close() }()
	st, err := in.Stat()
	if err != nil || st.Size() <= f.max {
		return err
	}
	if _, err := in.Seek(st.Size()-f.max, io.SeekStart); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	out, err := os.OpenFile(f.oldPath(id), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	copied, err := io.Copy(out, io.LimitReader(in, 2*f.max)) // and what comes meanwhile, if there is an end to it
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := e.times.rotated(st.Size() - f.max + copied); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	return in.Truncate(0)
}

// scan notes all logs, with the times of their last change.
func (f *Folder) scan() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), suffix); ok && e.Type().IsRegular() {
			errs = append(errs, f.note(id, time.Time{}))
		}
	}
	return errors.Join(errs...)
}
