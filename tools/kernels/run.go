// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Report is how all tests went on one kernel.
type Report struct {
	// Kernel is its name and machine, as it says itself.
	Kernel  string
	Results []Result
	// Took is the time on the host from turning the machine on to its end.
	Took time.Duration
}

// bootTimeout bounds what a machine takes besides its tests: some 5 s on an idle host.
const bootTimeout = 2 * time.Minute

// Run runs the tests of packages of the module in root on a kernel and reads how they went. An error says that the machine could
// not be made or did not come to an end; tests that fail are none. The console is copied to log.
func Run(ctx context.Context, root string, m Machine, k *Kernel, tests []Test, log io.Writer) (Report, error) {
	dir, err := os.MkdirTemp("", "oak-kernels-")
	if err != nil {
		return Report{}, fmt.Errorf("create work folder: %w", err)
	}
	defer os.RemoveAll(dir)
	initramfs, err := build(ctx, root, dir, k, tests)
	if err != nil {
		return Report{}, err
	}
	limit := bootTimeout
	for _, t := range tests {
		limit += t.Timeout + killAfter
	}
	booted, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not end within %v", limit))
	defer cancel()
	c := newConsole()
	start := time.Now()
	ended := boot(booted, m, k, initramfs, io.MultiWriter(c, log))
	c.flush()
	report := Report{Kernel: c.kernel, Took: time.Since(start)}
	if ctx.Err() != nil {
		return report, ended
	}
	for i, t := range tests {
		r, err := judge(ctx, t.Package, c.runs[i])
		if err != nil {
			return report, err
		}
		report.Results = append(report.Results, r)
	}
	switch {
	case ended != nil:
		return report, fmt.Errorf("%w\n%s", ended, tail(c.boot.String(), tailLines))
	case len(c.broken) > 0:
		return report, fmt.Errorf("prepare the guest: %s\n%s", strings.Join(c.broken, "; "), tail(c.boot.String(), tailLines))
	case !c.done:
		return report, fmt.Errorf("emulate %s on %s: the machine ended before its tests\n%s", k.Version, k.Arch.Name, tail(c.boot.String(), tailLines))
	}
	return report, nil
}
