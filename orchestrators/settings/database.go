// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// Database is an orchestrator's Postgres.
type Database struct {
	// URL is the value of --database, with the password of PasswordFile once [Database.Check] has been called.
	URL string
	// PasswordFile is the value of --database-password-file.
	PasswordFile string
	// Migrations make the tables of this orchestrator, see [store.Open].
	Migrations fs.FS
}

// AddFlag adds --database.
func (d *Database) AddFlag(flags *pflag.FlagSet) {
	flags.StringVar(&d.URL, "database", "", "URL of the Postgres database, such as postgres://USER@HOST/NAME (required)")
	flags.StringVar(&d.PasswordFile, "database-password-file", "", "file with the password for the database, so that it stands in no command line")
}

// Check refuses a database that was not given: the driver would take its own environment variables instead. It reads the password.
func (d *Database) Check() error {
	if d.URL == "" {
		return cmdline.Usagef("flag --database is missing: give the URL of a Postgres database")
	}
	if d.PasswordFile == "" {
		return nil
	}
	password, err := os.ReadFile(d.PasswordFile)
	if err != nil {
		return fmt.Errorf("read the database's password (--database-password-file): %w", err)
	}
	u, err := url.Parse(d.URL)
	if err != nil || u.User.Username() == "" {
		return cmdline.Usagef("flag --database: with --database-password-file it has to be a URL that names the user, such as postgres://USER@HOST/NAME")
	}
	u.User = url.UserPassword(u.User.Username(), strings.TrimRight(string(password), "\r\n"))
	d.URL = u.String()
	return nil
}

// Open connects as [store.Open] does.
func (d *Database) Open(ctx context.Context, log *slog.Logger) (*pgxpool.Pool, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	return store.Open(ctx, d.URL, d.Migrations, log)
}
