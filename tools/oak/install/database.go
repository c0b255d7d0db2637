// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"os/user"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// localDatabase is the URL of a service's database in this machine's Postgres, which lets the system's user of the same name in.
func (s Service) localDatabase() string {
	return "postgres://" + s.User + "@/" + s.User + "?host=" + postgresSocket
}

// postgresSocket is the folder of Debian's Postgres' socket.
const postgresSocket = "/var/run/postgresql"

// postgresUser owns this machine's Postgres.
const postgresUser = "postgres"

// sql asks this machine's Postgres, as who owns it.
func sql(ctx context.Context, statement string) (string, error) {
	if _, err := user.Lookup(postgresUser); err != nil {
		return "", errors.New("there is no Postgres on this machine: install it (on Debian: apt-get install postgresql), or name another one with --database")
	}
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "runuser", "-u", postgresUser, "--", "psql", "-h", postgresSocket, "-v", "ON_ERROR_STOP=1", "-qAtX", "-d", "postgres", "-c", statement) //nolint:gosec // made here
	cmd.Dir = "/"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("ask this machine's Postgres: %w: %s: does it run? Start it (pg_lsclusters, pg_ctlcluster), or name another one with --database",
			err, bytes.TrimSpace(errs.Bytes()))
	}
	return strings.TrimSpace(out.String()), nil
}

// database makes role and database of a service in this machine's Postgres.
func (p *plan) database(s Service) {
	create := func(kind, catalogue, column, statement string) {
		p.add(fmt.Sprintf("runuser -u %s -- psql -c '%s'", postgresUser, statement), func(ctx context.Context) (bool, error) {
			there, err := sql(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s = '%s'", catalogue, column, s.User))
			if err != nil || there != "0" {
				return false, err
			}
			if _, err := sql(ctx, statement); err != nil {
				return false, fmt.Errorf("make %s: %w", kind, err)
			}
			return true, nil
		})
	}
	create("role", "pg_roles", "rolname", fmt.Sprintf(`CREATE ROLE "%s" LOGIN`, s.User))
	create("database", "pg_database", "datname", fmt.Sprintf(`CREATE DATABASE "%s" OWNER "%s"`, s.User, s.User))
}

// dropDatabase takes both away again.
func (p *plan) dropDatabase(s Service) {
	for _, statement := range []string{fmt.Sprintf(`DROP DATABASE IF EXISTS "%s" WITH (FORCE)`, s.User), fmt.Sprintf(`DROP ROLE IF EXISTS "%s"`, s.User)} {
		p.add(fmt.Sprintf("runuser -u %s -- psql -c '%s'", postgresUser, statement), func(ctx context.Context) (bool, error) {
			_, err := sql(ctx, statement)
			return true, err
		})
	}
}

// withoutPassword takes the password out of a database's URL: command lines and files that everybody reads are no place for it.
func withoutPassword(database string) (bare, password string, err error) {
	u, err := url.Parse(database)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", "", cmdline.Usagef("flag --database: it is no URL such as postgres://USER@HOST/NAME") // which is not repeated: there may be a password in it
	}
	password, _ = u.User.Password()
	if password != "" {
		u.User = url.User(u.User.Username())
	}
	return u.String(), password, nil
}
