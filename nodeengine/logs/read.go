// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	// chunk is how much is read at a time, maxLine how much of a line is waited for before it is passed on without its end.
	chunk   = 32 << 10
	maxLine = 16 << 10
	// lookEvery is how often a follower looks for itself whether the log has ended.
	lookEvery = time.Second
)

// Options say what to read of a log.
type Options struct {
	// From is the position to begin at; it overrules Tail and Since. Negative: none.
	From int64
	// Tail is how many of the last lines are wanted; negative: all.
	Tail int
	// Since leaves out what was written before; zero: nothing.
	Since time.Time
	// Timestamps puts the time of each line before it.
	Timestamps bool
	// Follow waits for more until Ended, which is asked now and then, says that none will come.
	Follow bool
	Ended  func() bool
}

// Sink takes what is read. An error of it ends the reading.
type Sink interface {
	// Write takes the next bytes; position is the place in the log after them.
	Write(p []byte, position int64) error
	// Gap says that so many bytes went with rotation before they could be read.
	Gap(n int64) error
}

// Read hands a log to sink until its end. A log that is not there is empty, or, with Follow, waited for.
func (f *Folder) Read(ctx context.Context, id string, o Options, sink Sink) error {
	news := make(chan struct{}, 1)
	defer f.listen(id, news)()
	pos, end, err := f.begin(id, o)
	if err != nil {
		return err
	}
	r := &reading{f: f, id: id, o: o, sink: sink, pos: pos}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		last := !o.Follow || o.Ended() // asked before reading on, so that nothing is missed
		if o.Follow {
			end = -1
		}
		if err := r.toEnd(ctx, end); err != nil {
			return err
		}
		if last {
			return r.flush()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		case <-look.C:
		}
	}
}

// begin returns where to begin, and where the log ends now.
func (f *Folder) begin(id string, o Options) (pos, end int64, err error) {
	f.files.RLock()
	defer f.files.RUnlock()
	v, err := f.view(id)
	if err != nil || v == nil {
		return max(o.From, 0), 0, err
	}
	defer v.close()
	switch {
	case o.From >= 0:
		pos = o.From
	case !o.Since.IsZero():
		f.mu.Lock()
		pos = v.times.since(o.Since)
		f.mu.Unlock()
		fallthrough
	default:
		pos = max(pos, v.start)
		if o.Tail >= 0 {
			pos, err = v.tail(o.Tail, pos)
		}
	}
	if pos > v.end {
		pos = v.end // of a log that a power cut has shortened
	}
	return pos, v.end, err
}

// view is a log's files as positions.
type view struct {
	times            *times
	now, old         *os.File // old may be nil
	start, base, end int64
}

func (v *view) close() {
	_ = v.now.Close()
	if v.old != nil {
		_ = v.old.Close()
	}
}

// view opens a log; nil if there is none. The caller holds files.
func (f *Folder) view(id string) (*view, error) {
	now, err := os.Open(f.Path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	e, err := f.entryOf(id)
	if err != nil {
		_ = now.Close()
		return nil, err
	}
	f.mu.Lock()
	v := &view{times: e.times, now: now}
	v.base = v.times.base
	f.mu.Unlock()
	st, err := now.Stat()
	if err != nil {
		v.close()
		return nil, fmt.Errorf("read log: %w", err)
	}
	v.start, v.end = v.base, v.base+st.Size()
	if old, err := os.Open(f.oldPath(id)); err == nil {
		v.old = old
		if st, err := old.Stat(); err == nil {
			v.start = max(0, v.base-st.Size())
		}
	}
	return v, nil
}

// readAt reads at a position, within one of the files.
func (v *view) readAt(p []byte, pos int64) (n int, err error) {
	if pos < v.base {
		p = p[:min(int64(len(p)), v.base-pos)]
		n, err = v.old.ReadAt(p, pos-v.start)
	} else {
		n, err = v.now.ReadAt(p, pos-v.base)
	}
	if n > 0 || errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// tail returns where the last n lines begin, not before least.
func (v *view) tail(n int, least int64) (int64, error) {
	if n == 0 {
		return v.end, nil
	}
	buf := make([]byte, chunk)
	lines := 0
	for pos := v.end; pos > least; {
		from := max(least, pos-chunk)
		if from < v.base && pos > v.base {
			from = v.base
		}
		got, err := v.readAt(buf[:pos-from], from)
		if err != nil {
			return 0, fmt.Errorf("read log: %w", err)
		}
		for i := got - 1; i >= 0; i-- {
			if buf[i] != '\n' || from+int64(i) == v.end-1 { // the last line's own end
				continue
			}
			if lines++; lines == n {
				return from + int64(i) + 1, nil
			}
		}
		pos = from
	}
	return least, nil
}

// reading is one reader's place.
type reading struct {
	f       *Folder
	id      string
	o       Options
	sink    Sink
	pos     int64
	partial []byte // of a line, with timestamps
}

// toEnd passes on what there is, up to a position unless it is negative.
func (r *reading) toEnd(ctx context.Context, until int64) error {
	buf := make([]byte, chunk)
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n, gap, at, err := r.next(buf, until)
		if err != nil {
			return err
		}
		if gap > 0 {
			if err := r.sink.Gap(gap); err != nil {
				return err
			}
		}
		if n == 0 {
			return nil
		}
		if err := r.pass(buf[:n], at); err != nil {
			return err
		}
	}
}

// next reads the next bytes, and the times of lines that end in them.
func (r *reading) next(buf []byte, until int64) (n int, gap int64, at func(int64) time.Time, err error) {
	r.f.files.RLock()
	defer r.f.files.RUnlock()
	v, err := r.f.view(r.id)
	if err != nil || v == nil {
		return 0, 0, nil, err
	}
	defer v.close()
	if r.pos < v.start {
		gap, r.pos = v.start-r.pos, v.start
	}
	end := v.end
	if until >= 0 {
		end = min(end, until)
	}
	if r.pos >= end {
		return 0, gap, nil, nil
	}
	n, err = v.readAt(buf[:min(int64(len(buf)), end-r.pos)], r.pos)
	if err != nil {
		return 0, gap, nil, fmt.Errorf("read log: %w", err)
	}
	r.pos += int64(n)
	now := time.Now()
	return n, gap, func(pos int64) time.Time {
		r.f.mu.Lock()
		defer r.f.mu.Unlock()
		return v.times.of(pos, now)
	}, nil
}

// stamp is how the time of a line is written.
const stamp = "2006-01-02T15:04:05.000Z07:00"

// pass hands bytes on, the last of which is before r.pos.
func (r *reading) pass(p []byte, at func(int64) time.Time) error {
	if !r.o.Timestamps {
		return r.sink.Write(p, r.pos)
	}
	var out bytes.Buffer
	pos := r.pos - int64(len(p))
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 && len(r.partial)+len(p) < maxLine {
			r.partial = append(r.partial, p...)
			break
		}
		if i < 0 {
			i = len(p) - 1
		}
		pos += int64(i + 1)
		out.WriteString(at(pos).UTC().Format(stamp) + " ")
		out.Write(r.partial)
		out.Write(p[:i+1])
		if p[i] != '\n' {
			out.WriteByte('\n')
		}
		r.partial, p = r.partial[:0], p[i+1:]
	}
	if out.Len() == 0 {
		return nil
	}
	return r.sink.Write(out.Bytes(), r.pos-int64(len(r.partial)))
}

// flush passes on a last line that has no end.
func (r *reading) flush() error {
	if len(r.partial) == 0 {
		return nil
	}
	line := time.Now().UTC().Format(stamp) + " " + string(r.partial) + "\n"
	r.partial = nil
	return r.sink.Write([]byte(line), r.pos)
}
