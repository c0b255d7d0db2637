// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
)

// lastOutput is how long the output of a command that has ended is waited for when nothing comes: its children may hold it open for ever.
const lastOutput = 500 * time.Millisecond

// input tells when there is nothing more to read, so that the shim can be told to close its end too.
type input struct {
	from io.Reader

	mu   sync.Mutex
	over bool
	then func()
}

func newInput(from io.Reader) *input { return &input{from: from} }

// reader returns nil, and not an interface that holds nil, for no input.
func (i *input) reader() io.Reader {
	if i.from == nil {
		return nil
	}
	return i
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.from.Read(p)
	if err != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.over = true
		if i.then != nil {
			go i.then() // the FIFO is closed by who reads from here, after this
		}
	}
	return n, err
}

// onEOF has then called when the input has ended, which it may have already.
func (i *input) onEOF(then func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		go then()
	}
	i.then = then
}

// output knows whether something is being written, so that a reader that takes its time is told from output that does not come.
type output struct {
	mu      sync.Mutex
	writing int
	last    time.Time
}

// to returns a writer to w; nil for none.
func (o *output) to(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return &watched{o, w}
}

type watched struct {
	o *output
	w io.Writer
}

func (w *watched) Write(p []byte) (int, error) {
	w.o.note(1)
	defer w.o.note(-1)
	return w.w.Write(p)
}

func (o *output) note(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing += n
	o.last = time.Now()
}

// drain waits until all output of a process that has ended was passed on.
func (o *output) drain(ctx context.Context, streams cio.IO) {
	done := make(chan struct{})
	go func() { streams.Wait(); close(done) }()
	began := time.Now()
	tick := time.NewTicker(lastOutput / 10)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		o.mu.Lock()
		quiet := o.writing == 0 && time.Since(o.last) > lastOutput && time.Since(began) > lastOutput
		o.mu.Unlock()
		if quiet {
			return
		}
	}
}
