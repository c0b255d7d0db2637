// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
)

// Times around a measurement.
const (
	warm         = 50 * time.Millisecond
	calm         = 20 * time.Millisecond // after a slice, for what is still under way
	probeTime    = 20 * time.Millisecond
	sliceTimeout = 15 * time.Second
)

// tolerated is the share of the time that strangers may take before a slice is measured again.
const tolerated = 0.02

// Probe finds out whether a slice can be measured at all.
func (s *Stage) Probe(ctx context.Context, slice plan.Slice) error {
	p := s.setups[slice.Variant.Setup]
	if p == nil {
		return fmt.Errorf("try %s: its setup is not built", slice.Name())
	}
	if err := p.offload(slice.Variant.Plain); err != nil {
		return err
	}
	if _, err := s.once(ctx, p, slice, probeTime); err != nil {
		return fmt.Errorf("try %s: %w", slice.Name(), err)
	}
	return nil
}

// Measure measures a slice. It measures again what strangers disturbed, and returns the least disturbed.
func (s *Stage) Measure(ctx context.Context, slice plan.Slice) (best load.Result, err error) {
	p := s.setups[slice.Variant.Setup]
	if p == nil {
		return best, fmt.Errorf("measure %s: its setup is not built", slice.Name())
	}
	if err := p.offload(slice.Variant.Plain); err != nil {
		return best, err
	}
	for i := range max(s.options.Attempts, 1) {
		r, err := s.once(ctx, p, slice, s.options.Time)
		if err != nil {
			return best, fmt.Errorf("measure %s: %w", slice.Name(), err)
		}
		if i == 0 || r.Strangers < best.Strangers {
			best = r
		}
		if float64(best.Strangers) <= tolerated*float64(best.Wall) {
			break
		}
	}
	return best, nil
}

// once starts a server and a client, and ends both.
func (s *Stage) once(ctx context.Context, p *setup, slice plan.Slice, duration time.Duration) (r load.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, sliceTimeout)
	defer cancel()
	v, w := slice.Variant, slice.Workload
	counters := filepath.Join(lab.Dir, "counters")
	if err := load.CreateCounters(counters); err != nil {
		return r, err
	}
	server := load.Server{Kind: w.Kind, IPv6: v.IPv6, Streams: w.Streams, Counters: counters}
	for _, ns := range p.Servers[v.Place] {
		server.Namespaces = append(server.Namespaces, ns.Path())
	}
	listening, ready := newSignal()
	sp, err := s.run(nil, "serve", server, listening)
	if err != nil {
		return r, err
	}
	defer func() {
		sp.Kill()
		time.Sleep(calm)
	}()
	if err := ready(ctx, sp); err != nil {
		return r, err
	}
	var out bytes.Buffer
	cp, err := s.run(p.Client, "measure", load.Client{
		Kind: w.Kind, Targets: p.targets(v, w.Kind), Streams: w.Streams, Warm: warm, Time: duration, Counters: counters,
		Server: sp.PID(), Spinner: s.spinner.PID(), Softirq: s.softirq,
	}, &out)
	if err != nil {
		return r, err
	}
	defer cp.Kill()
	if err := cp.Wait(ctx); err != nil {
		return r, err
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("read the client's result: %w", err)
	}
	return r, nil
}

// run starts this program as one of the ends. What it is told goes through its standard input.
func (s *Stage) run(ns *lab.Namespace, role string, told any, out io.Writer) (*lab.Process, error) {
	in, err := json.Marshal(told)
	if err != nil {
		return nil, fmt.Errorf("encode what the %s process is told: %w", role, err)
	}
	return s.lab.Start(lab.Command{
		Namespace: ns, CPUs: []int{s.options.CPU}, Path: s.options.Self, Args: []string{role}, Env: load.Environment(),
		Stdin: bytes.NewReader(in), Stdout: out,
	})
}

// newSignal returns a writer and what waits for its first line.
func newSignal() (io.Writer, func(context.Context, *lab.Process) error) {
	r, w := io.Pipe()
	line := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(r).ReadString('\n')
		line <- err
		_, _ = io.Copy(io.Discard, r)
	}()
	return w, func(ctx context.Context, p *lab.Process) error {
		ended := make(chan error, 1)
		go func() { ended <- p.Wait(ctx) }()
		select {
		case err := <-line:
			return err
		case err := <-ended:
			return errors.Join(errors.New("the server did not start"), err)
		}
	}
}
