// SPDX-License-Identifier: Apache-2.0

package bed

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
	if err != nil || len(found) == 0 {
		return "", errors.New("find Postgres: nothing under /usr/lib/postgresql: install the Debian package postgresql")
	}
	version := func(p string) int {
		v, _ := strconv.Atoi(filepath.Base(filepath.Dir(p))) // 0 for what is no version: the last choice
		return v
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }), nil
}

// postgresAccount returns whom Postgres runs as: it refuses to run as root. Nil stands for who runs this.
func postgresAccount() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("find the account of Postgres: %w: install the Debian package postgresql", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("account of Postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// postgres makes and starts the database server: with fsync, since what is promised holds with it.
func (b *Bed) postgres(ctx context.Context) error {
	bin, err := postgresBin()
	if err != nil {
		return err
	}
	account, err := postgresAccount()
	if err != nil {
		return err
	}
	data, run := filepath.Join(b.dir, "postgres"), filepath.Join(b.dir, "run")
	for _, d := range []string{data, run} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return fmt.Errorf("make a folder for Postgres: %w", err)
		}
		if account == nil {
			continue
		}
		if err := os.Chown(d, int(account.Uid), int(account.Gid)); err != nil {
			return fmt.Errorf("give a folder to Postgres: %w", err)
		}
	}
	init := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata", data, "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions")
	init.Dir, init.SysProcAttr = "/", &syscall.SysProcAttr{Credential: account}
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initialise Postgres: %w: %s", err, strings.TrimSpace(string(out)))
	}
	// No port is opened. The socket's folder is readable by its owner and root alone, hence trust.
	b.Postgres, err = b.starter.run(spec{name: "postgres", path: filepath.Join(bin, "postgres"), credential: account, end: syscall.SIGINT,
		args: []string{"-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories=" + run}}, b.logs())
	if err != nil {
		return err
	}
	return b.Postgres.until(ctx, "an answer", func() bool {
		conn, err := pgx.Connect(ctx, b.database("postgres"))
		if err == nil {
			_ = conn.Close(ctx)
		}
		return err == nil
	})
}

func (b *Bed) createDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, b.database("postgres"))
	if err == nil {
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// database returns the URL of one database.
func (b *Bed) database(name string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&user=postgres", name, filepath.Join(b.dir, "run"))
}

// ClusterDatabase returns the URL of the cluster's database, RootDatabase that of root's.
func (b *Bed) ClusterDatabase() string { return b.database(clusterName) }

// RootDatabase returns the URL of root's database.
func (b *Bed) RootDatabase() string { return b.database(rootName) }
