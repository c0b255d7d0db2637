// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxHeld bounds the bytes that one way holds: 1 Gbit/s for half a second.
const maxHeld = 64 << 20

// maxFrame is more than any frame of a device whose segmentation is off.
const maxFrame = 1 << 16

// Stats counts frames of one way.
type Stats struct {
	Passed, Lost uint64
}

// way is one direction: a goroutine that reads, one that sends what is due.
type way struct {
	in, out *os.File
	done    chan struct{}
	news    chan struct{} // holds at most one wake-up of the sender
	tasks   sync.WaitGroup

	mu    sync.Mutex
	now   Way
	stats Stats
	queue []held
	bytes int
	last  time.Time // due time of the last in the queue: frames keep their order
}

// held is a frame and when it goes on.
type held struct {
	due   time.Time
	frame []byte
}

func newWay(in, out *os.File, w Way) *way {
	d := &way{in: in, out: out, done: make(chan struct{}), news: make(chan struct{}, 1), now: w}
	d.tasks.Go(d.read)
	d.tasks.Go(d.send)
	return d
}

func (d *way) set(w Way) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = w
}

func (d *way) count() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// read takes frames in until the interface or the path ends.
func (d *way) read() {
	buf := make([]byte, maxFrame)
	for {
		n, err := d.in.Read(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue // said once; the socket reads on when the interface is up again
		}
		if err != nil {
			return
		}
		d.take(buf[:n], time.Now())
	}
}

func (d *way) take(frame []byte, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now.Carries != nil && !d.now.Carries(frame) {
		return
	}
	if d.now.Lost || d.bytes+len(frame) > maxHeld {
		d.stats.Lost++
		return
	}
	due := at.Add(d.now.Delay)
	if due.Before(d.last) {
		due = d.last
	}
	d.last = due
	d.queue = append(d.queue, held{due, append([]byte(nil), frame...)})
	d.bytes += len(frame)
	select {
	case d.news <- struct{}{}:
	default:
	}
}

// send puts frames out when their time has come.
func (d *way) send() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.done:
			return
		case <-d.news:
		case <-timer.C:
		}
		for {
			next, wait, ok := d.due(time.Now())
			if !ok {
				break
			}
			if wait > 0 {
				timer.Reset(wait)
				break
			}
			_, err := d.out.Write(next.frame) // an interface that is down or full loses it, like any cable
			d.sent(err == nil)
		}
	}
}

// due returns the first frame in the queue and how long it has to wait; one that need not is taken out.
func (d *way) due(now time.Time) (next held, wait time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		d.queue = nil // gives back what a burst has taken
		return held{}, 0, false
	}
	next = d.queue[0]
	if wait = next.due.Sub(now); wait > 0 {
		return next, wait, true
	}
	d.queue[0] = held{}
	d.queue = d.queue[1:]
	d.bytes -= len(next.frame)
	return next, 0, true
}

func (d *way) sent(whole bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if whole {
		d.stats.Passed++
	} else {
		d.stats.Lost++
	}
}
