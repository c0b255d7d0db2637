// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// Removal says what is to be taken from this machine.
type Removal struct {
	Options
	// Purge takes the data too: state folders, configuration, users, and the databases that Install has made.
	Purge bool
}

// Uninstall takes Oakestra from this machine: what runs, what is in the kernel and in containerd, units and programs. Data stays, unless it is to
// be purged.
func Uninstall(ctx context.Context, r Removal) error {
	p, err := r.plan()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 && !r.DryRun {
		return errors.New("uninstalling takes root: run it as root, or look with --dry-run at what it would do")
	}
	return p.run(ctx, r.Out, r.DryRun)
}

func (r *Removal) plan() (*plan, error) {
	p := &plan{}
	if r.Worker {
		if err := r.refusePackaged(Engine, Net); err != nil {
			return nil, err
		}
		p.stop(Engine, Net)
		for _, s := range []Service{Engine, Net} {
			p.takeBack(s, r.Purge)
		}
		p.remove(filepath.Join(binDir, "oak-net"))
	}
	for _, part := range []struct {
		wanted bool
		s      Service
	}{{r.Cluster, Cluster}, {r.Root, Root}} {
		if !part.wanted {
			continue
		}
		if err := r.refusePackaged(part.s); err != nil {
			return nil, err
		}
		p.stop(part.s)
		if r.Purge {
			if err := p.purgeDatabase(part.s); err != nil {
				return nil, err
			}
		}
	}
	for _, part := range []struct {
		wanted bool
		s      Service
	}{{r.Worker, Engine}, {r.Worker, Net}, {r.Cluster, Cluster}, {r.Root, Root}} {
		if part.wanted {
			p.forget(part.s, r.Purge)
		}
	}
	if r.Worker && r.Purge {
		p.remove(NetConfigDir)
	}
	if systemdRuns() {
		p.command("systemctl", "daemon-reload")
	}
	if r.Root && r.Cluster && r.Worker {
		p.remove(filepath.Join(binDir, "oak"))
	}
	p.removeEmpty("/run/oakestra", "/var/lib/oakestra", ConfigDir)
	if !r.Purge {
		p.note("\nWhat it has stored stays: %s, /var/lib/oakestra, databases. To remove that too, install it again and uninstall it with --purge.", ConfigDir)
	}
	return p, nil
}

// refusePackaged leaves what a package has brought to the package.
func (r *Removal) refusePackaged(services ...Service) error {
	for _, s := range services {
		if _, err := os.Stat(filepath.Join(binDir, s.Program)); err == nil {
			continue
		}
		if _, err := os.Stat(filepath.Join("/usr/bin", s.Program)); err == nil {
			return fmt.Errorf("%s was brought by a package: apt-get remove oakestra-%s takes it away, purge its data too", s.Program, strings.ToLower(s.Program))
		}
	}
	return nil
}

// stop ends services, also those that somebody has started by hand.
func (p *plan) stop(services ...Service) {
	for _, s := range services {
		if systemdRuns() {
			p.add("systemctl disable --now "+s.Unit(), func(ctx context.Context) (bool, error) {
				if _, err := os.Stat(filepath.Join(unitDir, s.Unit())); err != nil {
					return false, nil
				}
				return true, call(ctx, "systemctl", "disable", "--now", s.Unit())
			})
		}
		p.add("pkill -x "+s.Program+"   # of this installation", func(ctx context.Context) (bool, error) { return end(ctx, filepath.Join(binDir, s.Program)) })
	}
}

// takeBack has a worker's program remove what it has put into the kernel and into containerd.
func (p *plan) takeBack(s Service, purge bool) {
	args := []string{filepath.Join(binDir, s.Program), "uninstall"}
	if purge {
		args = append(args, "--purge")
	}
	p.add(strings.Join(args, " "), func(ctx context.Context) (bool, error) {
		if _, err := os.Stat(args[0]); err != nil {
			return false, nil
		}
		set, err := settings(s.envFile())
		if err != nil {
			return false, err
		}
		return true, callWith(ctx, set, args...)
	})
}

// purgeDatabase drops a database that Install has made; another one is its owner's.
func (p *plan) purgeDatabase(s Service) error {
	set, err := settings(s.envFile())
	if err != nil {
		return err
	}
	switch at := set[s.EnvPrefix+"DATABASE"]; at {
	case s.localDatabase():
		p.dropDatabase(s)
	case "":
	default:
		p.note("\nThe database of %s is not on this machine, or not this program's own: drop it yourself: %s", s.Program, at)
	}
	return nil
}

// forget removes unit and program of a service, and if it is purged its state, configuration and user.
func (p *plan) forget(s Service, purge bool) {
	p.remove(filepath.Join(unitDir, s.Unit()))
	p.remove(filepath.Join(binDir, s.Program))
	if !purge {
		return
	}
	p.remove(s.State)
	p.remove(s.envFile())
	for _, name := range s.secrets() {
		p.remove(filepath.Join(ConfigDir, name))
	}
	if s.User != "" {
		p.add("userdel "+s.User, func(ctx context.Context) (bool, error) {
			if _, err := user.Lookup(s.User); err != nil {
				return false, nil
			}
			return true, call(ctx, "userdel", s.User)
		})
	}
}

// remove removes a file or a folder with all that is in it.
func (p *plan) remove(path string) {
	p.add("rm -rf "+path, func(context.Context) (bool, error) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return true, os.RemoveAll(path)
	})
}

// removeEmpty removes folders in which nothing is left.
func (p *plan) removeEmpty(paths ...string) {
	for _, path := range paths {
		p.add("rmdir --ignore-fail-on-non-empty "+path, func(context.Context) (bool, error) { return os.Remove(path) == nil, nil })
	}
}
