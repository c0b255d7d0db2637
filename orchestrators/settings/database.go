// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"context"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// Database is an orchestrator's Postgres.
type Database struct {
	// URL is the value of --database.
	URL string
	// Migrations make the tables of this orchestrator, see [store.Open].
	Migrations fs.FS
}

// AddFlag adds --database.
func (d *Database) AddFlag(flags *pflag.FlagSet) {
	flags.StringVar(&d.URL, "database", "", "URL of the Postgres database, such as postgres://USER@HOST/NAME (required)")
}

// Check refuses a database that was not given: the driver would take its own environment variables instead.
func (d *Database) Check() error {
	if d.URL == "" {
		return cmdline.Usagef("flag --database is missing: give the URL of a Postgres database")
	}
	return nil
}

// Open connects as [store.Open] does.
func (d *Database) Open(ctx context.Context, log *slog.Logger) (*pgxpool.Pool, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	return store.Open(ctx, d.URL, d.Migrations, log)
}
