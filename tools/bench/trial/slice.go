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
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
)

// Options of a stage.
type Options struct {
	// Self is this program, which is server, client and spinner too; NetManager is this project's.
	Self, NetManager string
	// CPU is the processor that is measured.
	CPU int
	// Time is how long a slice is measured.
	Time     time.Duration
	Progress func(format string, args ...any)
}

// Stage is where a part of a run is measured.
type Stage struct {
	options Options
	lab     *lab.Lab
	others  []int // processors that are not measured
	softirq int
	spinner *lab.Process
	setups  map[plan.Setup]*setup
}

// Times around a measurement.
const (
	warm         = 50 * time.Millisecond
	calm         = 20 * time.Millisecond // after a slice, for what is still under way
	sliceTimeout = 15 * time.Second
)

// Disturbance that has a slice measured again.
const (
	tolerated = 0.02 // of the time, taken by strangers
	attempts  = 3
)

// Open opens a stage. It has no setups yet.
func Open(o Options) (*Stage, error) {
	softirq, err := findThread(fmt.Sprintf("ksoftirqd/%d", o.CPU))
	if err != nil {
		return nil, err
	}
	l, err := lab.Open()
	if err != nil {
		return nil, err
	}
	s := &Stage{options: o, lab: l, softirq: softirq, setups: map[plan.Setup]*setup{}}
	for cpu := range countCPUs() {
		if cpu != o.CPU {
			s.others = append(s.others, cpu)
		}
	}
	if s.spinner, err = l.Start(lab.Command{CPUs: []int{o.CPU}, Idle: true, Path: o.Self, Args: []string{"spin"}, Env: []string{load.Environment()}}); err != nil {
		_ = l.Close()
		return nil, err
	}
	l.Keep(s.spinner)
	return s, nil
}

// Close takes everything down.
func (s *Stage) Close() error {
	for _, p := range s.setups {
		s.close(p)
	}
	return s.lab.Close()
}

// Build makes the setups that are not there yet.
func (s *Stage) Build(ctx context.Context, setups []plan.Setup) error {
	for _, p := range setups {
		if s.setups[p] != nil {
			continue
		}
		built, err := s.build(ctx, p)
		if err != nil {
			return err
		}
		s.setups[p] = built
	}
	return nil
}

// Can reports whether the slice's setup, which is built, does what the slice needs.
func (s *Stage) Can(slice plan.Slice) bool {
	p := s.setups[slice.Variant.Setup]
	return p.overlay == nil || !slice.Variant.IPv6 || p.overlay.IPv6()
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
	for i := range attempts {
		r, err := s.once(ctx, p, slice)
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
func (s *Stage) once(ctx context.Context, p *setup, slice plan.Slice) (r load.Result, err error) {
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
		Kind: w.Kind, Targets: p.targets(v, w.Kind), Streams: w.Streams, Warm: warm, Time: s.options.Time, Counters: counters,
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
		Namespace: ns, CPUs: []int{s.options.CPU}, Path: s.options.Self, Args: []string{role}, Env: []string{load.Environment()},
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

// findThread returns the number of a kernel thread.
func findThread(name string) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("look for thread %s: %w", name, err)
	}
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		if comm, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm")); err == nil && strings.TrimSpace(string(comm)) == name {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("look for thread %s: there is none: is this a container with its own process numbers?", name)
}
