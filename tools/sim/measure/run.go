// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options say what to measure.
type Options struct {
	// Bin is the folder of the programs.
	Bin string
	// State is the folder of the parts that are finished.
	State string
	// Only are the parts to keep to; empty for all.
	Only []string
	// Workers is how many hollow workers the crowd has, Stable how long it has to stand.
	Workers int
	Stable  time.Duration
	// Seed decides what is left to chance.
	Seed uint64
	// Version is that of the programs.
	Version string
	// Say is told of progress.
	Say func(format string, args ...any)
}

// part is one part of the benchmark.
type part struct {
	name, title string
	run         func(ctx context.Context, o *Options, r *Result) error
}

func parts() []part {
	return []part{
		{"sched", "The scheduler alone, on one core", schedule},
		{"idle", "Idle: a cluster with two workers", idle},
		{"deploy", "One deploy over hollow workers, from the API to RUNNING in the API", deploy},
		{"persisted", "Placements that are stored", persisted},
		{"real", "One deploy of a real container, beside containerd's own time", realDeploy},
		{"mosquitto", "A crowd, with mosquitto for a broker", crowdWithMosquitto},
		{"crowd", "A crowd, with the broker of the cluster's own", crowd},
	}
}

// Parts lists the names of all parts.
func Parts() (names []string) {
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

// ErrMissed is returned by [Run] if a figure is not what it has to be.
var ErrMissed = errors.New("not all figures are what they have to be")

// ErrPart is returned by [Run] for a part that there is not.
var ErrPart = errors.New("there is no such part")

// Run measures the parts that were not measured with these programs yet, writes the report of all into the folder of state and prints it.
func Run(ctx context.Context, o Options, out io.Writer) error {
	for _, name := range o.Only {
		if !slices.Contains(Parts(), name) {
			return fmt.Errorf("%w as %q: there are %s", ErrPart, name, strings.Join(Parts(), ", "))
		}
	}
	key, err := o.key()
	if err != nil {
		return err
	}
	dir := filepath.Join(o.State, key)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder for results: %w", err)
	}
	var failed error
	var results []Result
	for _, p := range parts() {
		wanted := len(o.Only) == 0 || slices.Contains(o.Only, p.name)
		r, done, err := load(dir, p.name)
		if err != nil {
			return err
		}
		if wanted && !done {
			if r, err = o.measure(ctx, p); err == nil {
				err = store(dir, p.name, r)
				done = true
			}
			if err != nil {
				o.Say("%s: %v", p.name, err)
				failed = errors.Join(failed, fmt.Errorf("part %s: %w", p.name, err))
			}
			if ctx.Err() != nil {
				break
			}
		}
		if done {
			results = append(results, r)
		}
	}
	rep := Report{Version: o.Version, Machine: machine(), Results: results}
	if err := rep.Write(o.State); err != nil {
		return errors.Join(failed, err)
	}
	if _, err := io.WriteString(out, rep.Markdown()); err != nil {
		return errors.Join(failed, fmt.Errorf("print the report: %w", err))
	}
	if failed == nil && !rep.Holds() {
		failed = ErrMissed
	}
	return failed
}

func (o *Options) measure(ctx context.Context, p part) (Result, error) {
	o.Say("%s: %s", p.name, p.title)
	r := Result{Part: p.name, At: time.Now().UTC()}
	began, before := time.Now(), processorTimes()
	err := p.run(ctx, o, &r)
	r.Took = time.Since(began).Seconds()
	r.Strangers = strangers(before, processorTimes())
	return r, err
}

// key names what is measured: builds of one version differ as long as it is being worked on.
func (o *Options) key() (string, error) {
	h := sha256.New()
	for _, name := range []string{"root-orchestrator", "cluster-orchestrator", "NodeEngine", "NetManager"} {
		if err := digest(h, filepath.Join(o.Bin, name)); err != nil {
			return "", fmt.Errorf("read program %s: %w: make build, or name the folder with --bin", name, err)
		}
	}
	_, _ = fmt.Fprint(h, o.Workers, o.Stable, o.Seed)
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), nil
}

func digest(h io.Writer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = io.Copy(h, f)
	return err
}

func load(dir, name string) (r Result, done bool, err error) {
	data, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if errors.Is(err, os.ErrNotExist) {
		return r, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return r, false, fmt.Errorf("read what was measured: %w", err)
	}
	return r, true, nil
}

func store(dir, name string, r Result) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".json"), data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("store what was measured: %w", err)
	}
	return nil
}
