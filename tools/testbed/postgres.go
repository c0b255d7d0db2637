// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// postgresBin finds the newest Postgres that Debian's packages have installed.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err // the pattern is constant
	}
	if len(found) == 0 {
		return "", errors.New("find Postgres: nothing under /usr/lib/postgresql: install the Debian package postgresql")
	}
	version := func(p string) int {
		v, _ := strconv.Atoi(filepath.Base(filepath.Dir(p))) // 0 for what is no version: the last choice
		return v
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }), nil
}

// postgresUser returns the account that Postgres runs as: it refuses to run as root.
func postgresUser() (uid, gid uint32, err error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		return 0, 0, fmt.Errorf("find the account of Postgres: %w: install the Debian package postgresql", err)
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("account of Postgres: %w", err)
	}
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("account of Postgres: %w", err)
	}
	return uint32(id), uint32(group), nil
}

// postgres makes the database cluster and returns the component that serves it.
func (t *Testbed) postgres(ctx context.Context) (Component, error) {
	bin, err := postgresBin()
	if err != nil {
		return Component{}, err
	}
	uid, gid, err := postgresUser()
	if err != nil {
		return Component{}, err
	}
	data := t.layout().postgres()
	for _, d := range []string{data, postgresRun} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return Component{}, fmt.Errorf("make a folder for Postgres: %w", err)
		}
		if err := os.Chown(d, int(uid), int(gid)); err != nil {
			return Component{}, fmt.Errorf("give a folder to Postgres: %w", err)
		}
	}
	if err := reachable(data); err != nil {
		return Component{}, err
	}
	init := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata", data, "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions")
	init.Dir, init.Env = "/", env(t.state.Dir, Machine)
	init.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	if out, err := init.CombinedOutput(); err != nil {
		return Component{}, fmt.Errorf("initialise Postgres: %w: %s", err, strings.TrimSpace(string(out)))
	}
	// No port is opened. The socket's folder is readable by its owner and root alone, hence trust.
	args := []string{"-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories=" + postgresRun}
	if !t.state.Fsync {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	c := t.component(progPostgres, Machine, filepath.Join(bin, "postgres"), args...)
	c.Spec.UID, c.Spec.GID = uid, gid
	c.Ready = Probe{Database: databaseURL("postgres")}
	c.Socket = filepath.Join(postgresRun, ".s.PGSQL.5432")
	c.Tree, c.PIDFile = true, filepath.Join(data, "postmaster.pid")
	return c, nil
}

// createDatabases makes one database for each of the names.
func createDatabases(ctx context.Context, names []string) error {
	conn, err := pgx.Connect(ctx, databaseURL("postgres"))
	if err != nil {
		return fmt.Errorf("create databases: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, n := range names {
		// The default strategy writes each page of the template to the log; a file copy is faster by far for an empty one.
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{n}.Sanitize()+" STRATEGY file_copy"); err != nil {
			return fmt.Errorf("create database %s: %w", n, err)
		}
	}
	return nil
}

// reachable returns an error if some folder above path may not be passed by other users.
func reachable(path string) error {
	for p := filepath.Dir(path); p != "/"; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			return fmt.Errorf("check the folders above %s: %w", path, err)
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("folder %s (mode %o) cannot be passed by user postgres: chmod o+x it, or give another folder with --dir",
				p, info.Mode().Perm())
		}
	}
	return nil
}
