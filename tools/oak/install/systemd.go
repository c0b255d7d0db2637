// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Bounds of what is called.
const (
	commandWithin = 2 * time.Minute
	healthWithin  = 90 * time.Second
	healthPause   = 500 * time.Millisecond
)

const unitDir = "/etc/systemd/system"

// systemdRuns reports whether units can be started here.
func systemdRuns() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// systemdIsInstalled reports whether units would be found, at the next start of this machine at least.
func systemdIsInstalled() bool {
	for _, dir := range []string{"/lib/systemd/system", "/usr/lib/systemd/system"} {
		if _, err := os.Stat(dir); err == nil {
			return true
		}
	}
	return false
}

// call runs a command; its error has what the command said.
func call(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput() //nolint:gosec // made here
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// command adds a command that always changes something.
func (p *plan) command(args ...string) {
	p.add(strings.Join(args, " "), func(ctx context.Context) (bool, error) { return true, call(ctx, args...) })
}

// unit installs a service's unit, unless its package has.
func (p *plan) unit(s Service, from string) {
	if !systemdIsInstalled() {
		return
	}
	for _, dir := range packaged {
		if from == dir {
			return
		}
	}
	path := filepath.Join(unitDir, s.Unit())
	p.text("install -m 0644 "+s.Unit()+" "+path, path, 0o644, "", func() ([]byte, error) { return File(s.Unit()), nil })
}

// start has systemd start services, now and at each boot. Where there is none, it says how to start them by hand.
func (p *plan) start(wanted bool, services ...Service) {
	if systemdRuns() && wanted {
		p.command("systemctl", "daemon-reload")
		for _, s := range services {
			p.command("systemctl", "enable", s.Unit())
			p.command("systemctl", "restart", s.Unit())
			p.healthy(s)
		}
		return
	}
	if systemdRuns() {
		p.command("systemctl", "daemon-reload")
		units := make([]string, 0, len(services))
		for _, s := range services {
			units = append(units, s.Unit())
		}
		p.note("\nNothing was started. To start it, now and at each boot:\n    systemctl enable --now %s", strings.Join(units, " "))
		return
	}
	p.note("\nsystemd does not run here, so nothing was started. Each of these goes on until it is ended:")
	for _, s := range services {
		p.note("    %s", s.byHand())
	}
}

// byHand is what a shell is told to run a service as its unit does.
func (s Service) byHand() string {
	run := "env $(grep -h '^OAK' " + s.envFile() + ") " + s.Program
	if s.Program == Engine.Program {
		run += " --netmanager /run/oakestra/netmanager.sock"
	}
	if s.User != "" {
		return "runuser -u " + s.User + " -- " + run
	}
	return run
}

// healthy waits until an orchestrator serves: who comes next needs it.
func (p *plan) healthy(s Service) {
	if s.User == "" {
		return
	}
	p.add(s.Program+" health", func(ctx context.Context) (bool, error) {
		deadline := time.Now().Add(healthWithin)
		for {
			err := call(ctx, s.Program, "health")
			if err == nil || ctx.Err() != nil {
				return true, errors.Join(err, ctx.Err())
			}
			if time.Now().After(deadline) {
				return false, fmt.Errorf("it is not ready after %s: %w: see journalctl -u %s", healthWithin, err, s.Unit())
			}
			select {
			case <-ctx.Done():
			case <-time.After(healthPause):
			}
		}
	})
}
