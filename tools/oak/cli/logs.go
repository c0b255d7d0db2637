// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// reconnectFor is how long `oak logs --reconnect` tries to go on after a loss; reconnectMost bounds the pauses between.
const (
	reconnectFor  = 2 * time.Minute
	reconnectMost = 5 * time.Second
)

func (p *program) logsCommand() *cobra.Command {
	o := client.LogOptions{}
	var reconnect bool
	cmd := &cobra.Command{
		Use: "logs SERVICE[.N]", Short: "Print what an instance, or all instances of a service, have written to standard output and error", Args: cmdline.Args(1, 1),
		Long: `Print what an instance has written to standard output and error. A worker keeps some 20 MiB of it, across restarts of the instance there.
Without a number all instances of the service are read; with several, each line begins with its instance's number.
The times are the worker's, exact to about a tenth of a second.`,
		ValidArgsFunction: p.complete(serviceNames),
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on with what is written from now on, until the instance ends or you interrupt")
	f.IntVar(&o.Tail, "tail", -1, "only the last N lines (default: all that are kept)")
	f.DurationVar(&o.Since, "since", 0, "only what is not older than this, such as 10m")
	f.BoolVar(&o.Timestamps, "timestamps", false, "begin each line with its time")
	f.BoolVar(&reconnect, "reconnect", false, "with --follow: when the connection is lost, go on where it was, without losing or repeating a line")
	cmd.RunE = p.connected(func(ctx context.Context, c *client.Client, args []string) error {
		if o.Tail < -1 || o.Since < 0 {
			return cmdline.Usagef("--tail and --since must not be negative")
		}
		s, number, err := findInstance(ctx, c, args[0])
		if err != nil {
			return err
		}
		numbers := []int{number}
		if number == client.AllInstances {
			numbers = nil
			for _, i := range staying(*s) {
				numbers = append(numbers, i.Number)
			}
		}
		if len(numbers) == 0 {
			return fmt.Errorf("%s has no instances: add one with `oak service deploy %s`", jobName(*s), args[0])
		}
		var group errgroup.Group
		if o.Follow { // the first error ends all
			group, ctx2 := errgroup.WithContext(ctx)
			for _, n := range numbers {
				out, flush := p.logOutput(n, len(numbers) > 1)
				group.Go(func() error { defer flush(); return p.readLog(ctx2, c, *s, n, o, reconnect, out) })
			}
			return interrupted(ctx, group.Wait())
		}
		group.SetLimit(8) // before any begins: a group that works takes no limit
		for _, n := range numbers {
			out, flush := p.logOutput(n, len(numbers) > 1)
			group.Go(func() error { defer flush(); return p.readLog(ctx, c, *s, n, o, false, out) })
		}
		return interrupted(ctx, group.Wait())
	})
	return cmd
}

// interrupted makes no error of a user's interrupting what would go on for ever.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// logOutput returns where the lines of an instance go.
func (p *program) logOutput(number int, prefixed bool) (out io.Writer, flush func()) {
	if !prefixed {
		return p.Out, func() {}
	}
	w := &prefixWriter{to: p.Out, lock: &p.output, prefix: strconv.Itoa(number) + "  "}
	return w, w.flush
}

// readLog reads the log of one instance, and with reconnect goes on after each loss.
func (p *program) readLog(ctx context.Context, c *client.Client, s client.Service, number int, o client.LogOptions, reconnect bool, out io.Writer) error {
	name := fmt.Sprintf("%s.%d", jobName(s), number)
	var last time.Time // of something that came
	began := time.Now()
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, reconnectMost) {
		err := c.Logs(ctx, s.ID, number, o, out, p.Err, func(position string) {
			o.From, last = position, time.Now()
			pause = 200 * time.Millisecond
		})
		if err == nil || ctx.Err() != nil {
			return nil
		}
		err = fmt.Errorf("read log of %s: %w", name, err)
		if !reconnect || !o.Follow || !passes(err) || time.Since(latest(last, began)) > reconnectFor {
			return err
		}
		p.note("oak: %s; going on where it was", explainShort(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// passes reports whether an error of a stream may be gone later.
func passes(err error) bool {
	var broken *client.StreamError
	if errors.As(err, &broken) {
		return broken.Code != wire.StreamRefused
	}
	return client.IsUnreachable(err) || client.HasStatus(err, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		http.StatusConflict, http.StatusTooManyRequests)
}

// prefixWriter puts a prefix before each line, and keeps lines of several writers whole.
type prefixWriter struct {
	to     io.Writer
	lock   *sync.Mutex
	prefix string
	rest   []byte
}

// maxHeldLine bounds how much of a line is held until its end comes.
const maxHeldLine = 64 << 10

func (w *prefixWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	end := bytes.LastIndexByte(w.rest, '\n') + 1
	if end == 0 {
		if len(w.rest) < maxHeldLine {
			return len(p), nil
		}
		w.rest, end = append(w.rest, '\n'), len(w.rest)+1
	}
	var lines bytes.Buffer
	for line := range bytes.Lines(w.rest[:end]) {
		lines.WriteString(w.prefix)
		lines.Write(line)
	}
	w.rest = append(w.rest[:0], w.rest[end:]...)
	w.lock.Lock()
	defer w.lock.Unlock()
	if _, err := w.to.Write(lines.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush writes a last line that has no end.
func (w *prefixWriter) flush() {
	if len(w.rest) > 0 {
		_, _ = w.Write([]byte("\n"))
	}
}

// findInstance returns the service, and the instance's number or client.AllInstances, that SERVICE.N or SERVICE means.
func findInstance(ctx context.Context, c *client.Client, wanted string) (*client.Service, int, error) {
	if dot := strings.LastIndexByte(wanted, '.'); dot > 0 {
		if n, err := strconv.Atoi(wanted[dot+1:]); err == nil && n >= 0 {
			s, err := findService(ctx, c, wanted[:dot])
			if err == nil {
				return s, n, knownInstance(*s, n)
			}
			if cmdline.Code(err) != cmdline.NotFound {
				return nil, 0, err
			}
		}
	}
	s, err := findService(ctx, c, wanted)
	return s, client.AllInstances, err
}

// knownInstance refuses a number that the service has no instance of.
func knownInstance(s client.Service, number int) error {
	numbers := []string{}
	for _, i := range present(s) {
		if i.Number == number {
			return nil
		}
		numbers = append(numbers, strconv.Itoa(i.Number))
	}
	slices.Sort(numbers)
	return cmdline.NotFoundf("%s has no instance %d; it has: %s", jobName(s), number, cmp.Or(strings.Join(numbers, ", "), "none"))
}
