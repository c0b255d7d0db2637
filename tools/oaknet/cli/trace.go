// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// tracing is what the flags of trace say.
type tracing struct {
	proto, src, dst string
	sample          uint32
	count           int
	during          time.Duration
	exact           bool
}

func (p *program) traceCommand() *cobra.Command {
	t := &tracing{}
	cmd := &cobra.Command{
		Use: "trace", Short: "Follow packets through the programs, decision by decision",
		Long: `Follows the packets that pass the filter through the programs on this worker, live, and says what was decided about each: which
service and instance, whether a flow was known, what it was translated to, where it went or why it was dropped. It ends by an
interrupt, after --count packets or --during so long.

--src is the opener's side, --dst the other; answers pass too. An address stands for all that mean the same along the way: a service's
for its instances', an instance's for its other one; --exact takes it as it is. Without any filter, packets whose headers were never
read are shown too as they are dropped. --sample N follows one packet of N. The programs stop by themselves 3 s after oak-net is gone.`,
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.trace(cmd.Context(), t) },
	}
	flags := cmd.Flags()
	flags.StringVar(&t.proto, "proto", "", "only this protocol: tcp, udp, icmp or icmp6")
	flags.StringVar(&t.src, "src", "", "only packets between ADDRESS, ADDRESS:PORT or :PORT as the opener")
	flags.StringVar(&t.dst, "dst", "", "and ADDRESS, ADDRESS:PORT or :PORT as the other side")
	flags.Uint32Var(&t.sample, "sample", 1, "follow one packet of so many")
	flags.IntVar(&t.count, "count", 0, "end after so many packets; 0: never")
	flags.DurationVar(&t.during, "during", 0, "end after so long; 0: never")
	flags.BoolVar(&t.exact, "exact", false, "take addresses as they are, before translation or after")
	must(cmd.RegisterFlagCompletionFunc("proto", cobra.FixedCompletions([]string{"tcp", "udp", "icmp", "icmp6"}, cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("dst", p.completion(serviceKeys)))
	return cmd
}

// filter turns the flags into what the programs compare.
func (t *tracing) filter(r *inspect.Reader) (f inspect.TraceFilter, err error) {
	ok := false
	if f.Protocol, ok = inspect.ProtocolNumber(t.proto); !ok {
		return f, cmdline.Usagef("unknown protocol %q in --proto: use tcp, udp, icmp, icmp6", t.proto)
	}
	f.Sample = t.sample
	for _, side := range []struct {
		flag, value string
		addrs       *[]netip.Addr
		port        *uint16
	}{{"--src", t.src, &f.From, &f.FromPort}, {"--dst", t.dst, &f.To, &f.ToPort}} {
		s, err := parseSide(side.value)
		if err != nil {
			return f, cmdline.Usagef("%s: %w", side.flag, err)
		}
		*side.port = s.port
		switch {
		case !s.addrs.IsValid():
			continue
		case !s.addrs.IsSingleIP():
			return f, cmdline.Usagef("%s %s: packets are traced by addresses, not by prefixes", side.flag, side.value)
		case t.exact:
			*side.addrs = []netip.Addr{s.addrs.Addr()}
			continue
		}
		if *side.addrs, err = r.Aliases(s.addrs.Addr()); err != nil {
			return f, fmt.Errorf("look %s up: %w", s.addrs.Addr(), err)
		}
	}
	return f, nil
}

func (p *program) trace(ctx context.Context, t *tracing) error {
	if t.count < 0 || t.during < 0 {
		return cmdline.Usagef("--count and --during cannot be negative: use 0 for no end")
	}
	r, err := p.open()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	filter, err := t.filter(r)
	if err != nil {
		return err
	}
	describe, err := r.Describer()
	if err != nil {
		return err
	}
	tracer, err := r.Trace(filter)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	if t.during > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.during)
		defer cancel()
	}
	shown := &packets{p: p, waiting: map[string]*told{}}
	err = p.follow(ctx, tracer, describe, shown, t.count)
	lost, lostErr := tracer.Lost()
	err = errors.Join(err, shown.flush(time.Time{}), lostErr, tracer.Close())
	if lost > 0 && err == nil {
		_, err = fmt.Fprintf(p.Err, "%d events were lost: narrow the filter, or use --sample\n", lost)
	}
	return err
}

// renewEvery is how often the programs are told to go on.
const renewEvery = time.Second

// follow shows events until ctx ends or enough packets have come to their end.
func (p *program) follow(ctx context.Context, tracer *inspect.Tracer, describe *inspect.Describer, shown *packets, count int) error {
	renew := time.Now().Add(renewEvery)
	for ctx.Err() == nil && (count == 0 || shown.ended < count) {
		now := time.Now()
		if now.After(renew) {
			if err := tracer.Renew(); err != nil {
				return err
			}
			renew = now.Add(renewEvery)
		}
		e, ok, err := tracer.Next(now.Add(settleTime))
		if err != nil {
			return err
		}
		if ok {
			if err := shown.add(describe.Event(e), now); err != nil {
				return err
			}
		}
		if err := shown.flush(now.Add(-settleTime)); err != nil {
			return err
		}
	}
	return nil
}

// settleTime is how long a packet's next event is waited for: all are told within one run of a program.
const settleTime = 100 * time.Millisecond

// mostWaiting bounds how many packets' ends are waited for.
const mostWaiting = 4096

// packets puts the events of each packet together, which come mixed from several processors.
type packets struct {
	p       *program
	waiting map[string]*told
	ended   int
}

type told struct {
	events []inspect.Event
	at     time.Time
}

func (s *packets) add(e inspect.Event, now time.Time) error {
	if s.p.format.Data() {
		if e.Last {
			s.ended++
		}
		return s.writeData(e)
	}
	t := s.waiting[e.Packet]
	if t == nil {
		if len(s.waiting) >= mostWaiting {
			if err := s.flush(time.Time{}); err != nil {
				return err
			}
		}
		t = &told{}
		s.waiting[e.Packet] = t
	}
	t.events, t.at = append(t.events, e), now
	if !e.Last {
		return nil
	}
	s.ended++
	delete(s.waiting, e.Packet)
	return s.write(t.events)
}

// flush writes packets of which nothing came since then, all if that is zero.
func (s *packets) flush(since time.Time) error {
	for id, t := range s.waiting {
		if since.IsZero() || t.at.Before(since) {
			delete(s.waiting, id)
			if err := s.write(t.events); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *packets) write(events []inspect.Event) error {
	if _, err := fmt.Fprintln(s.p.Out, events[0].Headline()); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	for _, e := range events {
		if _, err := fmt.Fprintf(s.p.Out, "    %-10s %s\n", e.Step, e.Text); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
	return nil
}

// writeData writes one event a line as JSON, or one document as YAML.
func (s *packets) writeData(e inspect.Event) error {
	if s.p.format == output.YAML {
		if _, err := fmt.Fprintln(s.p.Out, "---"); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
		return output.Value(s.p.Out, s.p.format, e)
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	if _, err := fmt.Fprintf(s.p.Out, "%s\n", line); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
