// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// run is a measurement at work.
type run struct {
	Client
	stop      atomic.Bool
	recording atomic.Bool
	units     atomic.Uint64 // of kinds that the client counts
	latency   histogram     // written by the one thread that measures it, while recording
	ready     atomic.Int32  // loops whose traffic flows, or has failed
	ended     atomic.Int32

	mu  sync.Mutex
	err error
}

// Measure makes traffic and measures it.
func Measure(c Client) (Result, error) {
	settle()
	if err := c.check(); err != nil {
		return Result{}, fmt.Errorf("measure: %w", err)
	}
	r := &run{Client: c}
	result, err := r.measure()
	if err != nil {
		return Result{}, fmt.Errorf("measure %s to %s: %w", c.Kind, c.Targets[0], err)
	}
	return result, nil
}

func (r *run) measure() (Result, error) {
	served, err := openCounters(r.Counters)
	if err != nil {
		return Result{}, err
	}
	clocks, err := openClocks(r.Client)
	if err != nil {
		return Result{}, err
	}
	defer clocks.close()
	loop, threads := r.loop()
	begin(threads, func(i int) {
		if err := loop(i); err != nil {
			r.fail(err)
		}
		r.ended.Add(1)
	})
	await(&r.ready, threads)
	time.Sleep(r.Warm)

	units := r.units.Load
	if r.Kind == Bulk || r.Kind == UDP {
		units = served.sum
	}
	r.recording.Store(true)
	before, sentBefore := units(), r.units.Load()
	first, err := clocks.read()
	if err != nil {
		return Result{}, err
	}
	time.Sleep(r.Time)
	after, sent := units(), r.units.Load()
	last, err := clocks.read()
	if err != nil {
		return Result{}, err
	}
	r.recording.Store(false)
	r.stop.Store(true)
	await(&r.ended, threads)
	if r.err != nil {
		return Result{}, r.err
	}
	out := between(first, last)
	out.Units = after - before
	if out.Units == 0 {
		return Result{}, fmt.Errorf("nothing came through in %v", r.Time)
	}
	if r.Kind == UDP {
		out.Sent = sent - sentBefore
	}
	out.P50, out.P99 = r.latency.quantile(0.5), r.latency.quantile(0.99)
	return out, nil
}

// fail notes the first error and ends the others' loops.
func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.stop.Store(true)
}

// loop returns what each thread runs until stop, and how many threads. A loop calls ready once, when its traffic flows or fails.
func (r *run) loop() (func(i int) error, int) {
	switch r.Kind {
	case Bulk:
		return r.bulk, r.Streams
	case Request:
		return r.request, 1
	case Connect:
		return r.connect, 1
	}
	return r.udp, 1
}

// open makes the i-th connection.
func (r *run) open(i, kind int) (int, error) {
	target := r.Targets[i%len(r.Targets)]
	a := addressOf(target)
	fd, e := socket(&a, kind)
	if e != 0 {
		return 0, fmt.Errorf("make a socket: %w", e)
	}
	if err := impatient(fd); err != nil {
		closeFD(fd)
		return 0, err
	}
	if e := connect(fd, &a); e != 0 {
		closeFD(fd)
		return 0, fmt.Errorf("connect to %s: %w", target, e)
	}
	return fd, nil
}

func (r *run) bulk(i int) error {
	fd, err := r.open(i, unix.SOCK_STREAM)
	r.ready.Add(1)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	buffer := make([]byte, bulkBuffer)
	for !r.stop.Load() {
		if _, e := write(fd, buffer); e != 0 {
			return fmt.Errorf("send: %w", e)
		}
	}
	return nil
}

func (r *run) request(int) error {
	fd, err := r.open(0, unix.SOCK_STREAM)
	r.ready.Add(1)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("have requests sent at once: %w", err)
	}
	buffer := make([]byte, message)
	start := time.Now()
	for !r.stop.Load() {
		if err := exchange(fd, buffer); err != nil {
			return err
		}
		start = r.done(start)
	}
	return nil
}

// done counts a unit that began at start, and returns when it ended.
func (r *run) done(start time.Time) time.Time {
	now := time.Now()
	if r.recording.Load() {
		r.latency.add(now.Sub(start))
	}
	r.units.Add(1)
	return now
}

func exchange(fd int, buffer []byte) error {
	if n, e := write(fd, buffer); e != 0 || n < len(buffer) {
		return fmt.Errorf("send a request: %w", orCut(e))
	}
	if n, e := readFull(fd, buffer); e != 0 || n < len(buffer) {
		return fmt.Errorf("receive an answer: %w", orCut(e))
	}
	return nil
}

func orCut(e syscall.Errno) error {
	if e == 0 {
		return fmt.Errorf("the connection was closed")
	}
	return e
}

func (r *run) connect(int) error {
	buffer := make([]byte, message)
	start := time.Now()
	for i := 0; !r.stop.Load(); i++ {
		err := r.once(i, buffer)
		if i == 0 {
			r.ready.Add(1)
		}
		if err != nil {
			return err
		}
		start = r.done(start)
	}
	return nil
}

func (r *run) once(i int, buffer []byte) error {
	fd, err := r.open(i, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	return exchange(fd, buffer)
}

func (r *run) udp(int) error {
	fd, err := r.open(0, unix.SOCK_DGRAM)
	buffer := make([]byte, message)
	if err == nil {
		buffer[0] = wantsAnswer
		err = exchange(fd, buffer)
	}
	r.ready.Add(1)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	buffer[0] = 0
	for !r.stop.Load() {
		if _, e := write(fd, buffer); e != 0 {
			return fmt.Errorf("send a datagram: %w", e)
		}
		r.units.Add(1)
	}
	return nil
}
