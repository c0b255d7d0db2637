// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// Dumps are databases as they once were.
type Dumps struct {
	taken time.Time
	files map[string]string
}

// Dump writes each of the databases, root's or a cluster's by the name of its first host, to a file in dir.
func (w *World) Dump(ctx context.Context, dir string, databases ...string) (*Dumps, error) {
	d := &Dumps{taken: time.Now(), files: map[string]string{}}
	for _, db := range databases {
		d.files[db] = filepath.Join(dir, fmt.Sprintf("%s-%d.dump", db, d.taken.UnixNano()))
		if err := postgresClient(ctx, "pg_dump", "--format=custom", "--file="+d.files[db], w.Testbed.DatabaseURL(db)); err != nil {
			return nil, fmt.Errorf("dump the database of %s: %w", db, err)
		}
	}
	return d, nil
}

// Restore gives databases what they held when they were dumped, with all that uses them stopped meanwhile, deploys and scales at once, while
// much has not been told of yet, and waits until everything agrees again. Nothing that ran may have been stopped; what had been stopped since
// the dump may run again. What was deployed since is in no row of root's then: those instances whose service root still knows are its
// again, others run on. No address is anybody else's meanwhile.
func (r *Run) Restore(ctx context.Context, d *Dumps, databases ...string) error {
	before, err := r.settled(ctx, Converge)
	if err != nil {
		return fmt.Errorf("before %v are restored: %w", databases, err)
	}
	age := time.Since(d.taken)
	programs, err := r.World.programsOf(databases)
	if err != nil {
		return err
	}
	for _, p := range programs {
		if err := testbed.Kill(ctx, p); err != nil {
			return err
		}
	}
	for _, db := range databases {
		if err := r.World.restore(ctx, db, d.files[db]); err != nil {
			return err
		}
	}
	begin := time.Now()
	for _, p := range programs {
		if err := testbed.Restart(ctx, p); err != nil {
			return err
		}
	}
	r.restored = r.restored || slices.Contains(databases, "root")
	r.writer.forget()
	if err := r.grow(ctx); err != nil {
		return err
	}
	var after *Verdict
	err = scene.Until(ctx, 2*Converge, func(ctx context.Context) (err error) {
		if after, err = r.judge(ctx); err != nil {
			return err
		}
		if wrong := stopped(before, after, func(instance) bool { return false }); len(wrong) > 0 {
			return errors.New(strings.Join(wrong, "\n  "))
		}
		for id := range after.Tasks {
			i, _ := parseContainer(id)
			if _, ran := before.Tasks[id]; !ran && !r.World.mayCome(i.service) {
				return fmt.Errorf("container %s was started, of a service that nobody has changed", id)
			}
		}
		return errors.Join(after.Err(), r.World.Answers(ctx, after))
	})
	if err != nil {
		return fmt.Errorf("after %v were restored from dumps %s old: %w", databases, age.Round(time.Second), err)
	}
	r.say("%s  %v restored from dumps %s old; all is well after %s, nothing was stopped: %d containers run, %d of services that root does not know any more",
		time.Now().UTC().Format(time.RFC3339), databases, age.Round(time.Second), time.Since(begin).Round(time.Millisecond), len(after.Tasks), len(after.want.unmanaged))
	return nil
}

// grow deploys an application with a service, and one more instance of each service that changes.
func (r *Run) grow(ctx context.Context) error {
	refused := r.writer.refused
	r.writer.deploy(ctx)
	if r.writer.refused != refused {
		return errors.New("deploy an application after a restore: it was refused")
	}
	for _, services := range r.World.services {
		if err := r.World.Scene.API.AddInstance(ctx, services[serviceChanging].ID); err != nil {
			return fmt.Errorf("add an instance after a restore: %w", err)
		}
	}
	return nil
}

// mayCome reports whether instances of a service come and go: of those that change, and of all that the writer deploys.
func (w *World) mayCome(id string) bool {
	if id == string(w.wide.ID) {
		return false
	}
	for _, services := range w.services {
		for name, v := range services {
			if id == string(v.ID) {
				return name == serviceChanging
			}
		}
	}
	return true
}

// programsOf are those that use the databases.
func (w *World) programsOf(databases []string) (names []string, err error) {
	all, err := testbed.Components()
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		h, err := w.Testbed.Host(c.Host)
		if err != nil {
			continue // the machine itself
		}
		uses := h.Name
		switch {
		case c.Name == "root-orchestrator":
			uses = "root"
		case c.Name != "cluster-orchestrator":
			continue
		case h.Cluster != "":
			uses = h.Cluster
		}
		if slices.Contains(databases, uses) {
			names = append(names, c.String())
		}
	}
	return names, nil
}

// restore replaces a database by what a dump holds.
func (w *World) restore(ctx context.Context, db, file string) error {
	u, err := url.Parse(w.Testbed.DatabaseURL(db))
	if err != nil {
		return fmt.Errorf("restore the database of %s: %w", db, err)
	}
	u.Path = "/postgres"
	err = query(ctx, u.String(), func(ctx context.Context, conn *pgx.Conn) error {
		for _, sql := range []string{"DROP DATABASE %s WITH (FORCE)", "CREATE DATABASE %s"} {
			if _, err := conn.Exec(ctx, fmt.Sprintf(sql, pgx.Identifier{db}.Sanitize())); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = postgresClient(ctx, "pg_restore", "--exit-on-error", "--dbname="+w.Testbed.DatabaseURL(db), file)
	}
	if err != nil {
		return fmt.Errorf("restore the database of %s: %w", db, err)
	}
	return nil
}

// postgresClient runs a program of Postgres's.
func postgresClient(ctx context.Context, name string, args ...string) error {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		return fmt.Errorf("find %s: install the package postgresql", name)
	}
	out, err := exec.CommandContext(ctx, slices.Max(found), args...).CombinedOutput() //nolint:gosec // the distribution's
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
