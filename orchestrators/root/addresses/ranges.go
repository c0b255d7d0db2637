// SPDX-License-Identifier: Apache-2.0

package addresses

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Keys of the ranges in root's configuration.
const (
	KeyWorkersV4  = "workers-v4"
	KeyWorkersV6  = "workers-v6"
	KeyServicesV4 = "services-v4"
	KeyServicesV6 = "services-v6"
)

// Fix stores the ranges of an installation at its first start. Later ones have to name the same, or larger ranges that
// start at the same address: what was given out keeps its meaning. Of the IPv6 range of services the policies' parts
// depend, so that it cannot be changed.
func Fix(ctx context.Context, tx pgx.Tx, r wire.Ranges) error {
	if err := semantic.CheckRanges(r); err != nil {
		return err
	}
	for _, want := range []struct {
		key    string
		prefix netip.Prefix
		grows  bool
	}{
		{KeyWorkersV4, r.WorkersV4, true},
		{KeyWorkersV6, r.WorkersV6, true},
		{KeyServicesV4, r.ServicesV4, true},
		{KeyServicesV6, r.ServicesV6, false},
	} {
		var stored netip.Prefix
		err := tx.QueryRow(ctx, `SELECT prefix FROM address_range WHERE key = $1 FOR UPDATE`, want.key).Scan(&stored)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return fmt.Errorf("read address range %s: %w", want.key, err)
		case stored == want.prefix:
			continue
		case !want.grows || stored.Addr() != want.prefix.Addr() || want.prefix.Bits() > stored.Bits():
			return fmt.Errorf("change --%s from %s to %s: addresses have been given out; only a larger range that starts at %s is possible",
				want.key, stored, want.prefix, stored.Addr())
		}
		_, err = tx.Exec(ctx, `INSERT INTO address_range (key, prefix) VALUES ($1, $2)
			ON CONFLICT (key) DO UPDATE SET prefix = excluded.prefix`, want.key, want.prefix)
		if err != nil {
			return fmt.Errorf("store address range %s: %w", want.key, err)
		}
	}
	return nil
}
