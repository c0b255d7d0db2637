// SPDX-License-Identifier: Apache-2.0

package addresses

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Quarantine is how long a released address or block is given to nobody else. It outlasts every cache of a route.
const Quarantine = 10 * time.Minute

// FullError says that a pool has no address left.
type FullError struct {
	// Pool is the pool's name, Key the flag of root that enlarges it, Range its present value.
	Pool, Key string
	Range     netip.Prefix
}

func (e *FullError) Error() string {
	return fmt.Sprintf("address pool %s (%s) is full: enlarge it with --%s of the root orchestrator, or remove what is not needed "+
		"(what was removed is free again after %s)", e.Pool, e.Range, e.Key, Quarantine)
}

// TakenError says that an address that was asked for by name belongs to somebody else.
type TakenError struct {
	Address netip.Addr
	Reason  string
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("address %s is taken: %s", e.Address, e.Reason)
}

// OutsideError says that an address that was asked for by name is none of its policy.
type OutsideError struct {
	Address netip.Addr
	Policy  wire.Policy
	Range   netip.Prefix
}

func (e *OutsideError) Error() string {
	return fmt.Sprintf("address %s of policy %s is not an address within %s", e.Address, e.Policy, e.Range)
}

// Owner is what an address is taken for.
type Owner struct {
	// Organization may take an address of its own back during the quarantine.
	Organization string
	ServiceID    string
	// Number is the instance's; nil for an address of the service.
	Number *int
}

type pool struct {
	name   string
	key    string
	prefix netip.Prefix
}

// poolOf returns where addresses of a policy come from: IPv4 ones share a pool, IPv6 ones have one a policy.
func poolOf(r wire.Ranges, policy wire.Policy, v6 bool) pool {
	p := pool{name: "services-v4", key: KeyServicesV4, prefix: semantic.PrefixFor(r, policy, v6)}
	if v6 {
		p.name, p.key = string(policy)+"-v6", KeyServicesV6
	}
	return p
}

// Take gives the owner an address of the policy and family: the one that has been free longest after its quarantine, or
// else the lowest that was never used. It fails with a [FullError].
func Take(ctx context.Context, tx pgx.Tx, r wire.Ranges, policy wire.Policy, v6 bool, owner Owner) (netip.Addr, error) {
	p := poolOf(r, policy, v6)
	next, err := lockPool(ctx, tx, p.name)
	if err != nil {
		return netip.Addr{}, err
	}
	var addr netip.Addr
	err = tx.QueryRow(ctx, `UPDATE address SET organization_id = $2, service_id = $3, number = $4, policy = $5, released_at = NULL
		WHERE address = (SELECT address FROM address WHERE pool = $1 AND released_at <= now() - $6::interval
			ORDER BY released_at, address LIMIT 1) RETURNING address`,
		p.name, owner.Organization, owner.ServiceID, owner.Number, policy, Quarantine).Scan(&addr)
	if err == nil {
		return addr, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return netip.Addr{}, fmt.Errorf("reuse address of pool %s: %w", p.name, err)
	}
	for ; ; next++ {
		addr, ok := semantic.Host(p.prefix, uint32(next))
		if !ok {
			return netip.Addr{}, &FullError{Pool: p.name, Key: p.key, Range: p.prefix}
		}
		// One that a user has taken by name is passed over.
		tag, err := insert(ctx, tx, p, addr, policy, owner)
		if err != nil {
			return netip.Addr{}, err
		}
		if tag == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, `UPDATE pool SET next = $2 WHERE name = $1`, p.name, next+1); err != nil {
			return netip.Addr{}, fmt.Errorf("advance pool %s: %w", p.name, err)
		}
		return addr, nil
	}
}

func insert(ctx context.Context, tx pgx.Tx, p pool, addr netip.Addr, policy wire.Policy, owner Owner) (int64, error) {
	tag, err := tx.Exec(ctx, `INSERT INTO address (address, pool, organization_id, service_id, number, policy)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (address) DO NOTHING`,
		addr, p.name, owner.Organization, owner.ServiceID, owner.Number, policy)
	if err != nil {
		return 0, fmt.Errorf("take address %s: %w", addr, err)
	}
	return tag.RowsAffected(), nil
}

// TakeNamed gives the owner the address that it asks for. It fails with an [OutsideError] or a [TakenError]. An address in
// quarantine, or of a service that is being removed, is given only to the organisation whose it was: so it can deploy a service
// anew before the old one's last instance has confirmed its end.
func TakeNamed(ctx context.Context, tx pgx.Tx, r wire.Ranges, want wire.ServiceAddress, owner Owner) error {
	addr := want.Address.Unmap()
	p := poolOf(r, want.Policy, addr.Is6())
	if !isHost(p.prefix, addr) {
		return &OutsideError{Address: addr, Policy: want.Policy, Range: p.prefix}
	}
	if _, err := lockPool(ctx, tx, p.name); err != nil {
		return err
	}
	n, err := insert(ctx, tx, p, addr, want.Policy, owner)
	if err != nil || n == 1 {
		return err
	}
	var organization string
	var free, quarantined, leaving bool
	err = tx.QueryRow(ctx, `SELECT organization_id, released_at IS NOT NULL, coalesce(released_at > now() - $2::interval, false),
		number IS NULL AND EXISTS (SELECT FROM service s WHERE s.id = service_id AND s.deleted_at IS NOT NULL)
		FROM address WHERE address = $1 FOR UPDATE`, addr, Quarantine).Scan(&organization, &free, &quarantined, &leaving)
	switch {
	case err != nil:
		return fmt.Errorf("look up address %s: %w", addr, err)
	case !free && leaving && organization == owner.Organization:
	case !free:
		return &TakenError{addr, "a service or instance has it, or one that is being removed; choose another, or none to get a free one"}
	case quarantined && organization != owner.Organization:
		return &TakenError{addr, fmt.Sprintf("another organisation released it less than %s ago; choose another, or wait", Quarantine)}
	}
	_, err = tx.Exec(ctx, `UPDATE address SET organization_id = $2, service_id = $3, number = $4, policy = $5, released_at = NULL
		WHERE address = $1`, addr, owner.Organization, owner.ServiceID, owner.Number, want.Policy)
	if err != nil {
		return fmt.Errorf("take address %s: %w", addr, err)
	}
	return nil
}

// isHost reports whether a can be given out of p: not the first, which names the prefix, nor the last of IPv4.
func isHost(p netip.Prefix, a netip.Addr) bool {
	if !p.Contains(a) || a == p.Addr() {
		return false
	}
	return !a.Is4() || p.Contains(a.Next())
}

// lockPool returns the pool's next index and keeps others out of it until the transaction ends.
func lockPool(ctx context.Context, tx pgx.Tx, name string) (next int64, err error) {
	err = tx.QueryRow(ctx, `INSERT INTO pool (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = excluded.name
		RETURNING next`, name).Scan(&next)
	if err != nil {
		return 0, fmt.Errorf("lock address pool %s: %w", name, err)
	}
	return next, nil
}

// ReleaseInstance puts the addresses of an instance into quarantine.
func ReleaseInstance(ctx context.Context, tx pgx.Tx, key wire.InstanceKey) error {
	return ReleaseInstances(ctx, tx, []wire.InstanceKey{key})
}

// ReleaseInstances is [ReleaseInstance] for many, in one statement.
func ReleaseInstances(ctx context.Context, tx pgx.Tx, keys []wire.InstanceKey) error {
	if len(keys) == 0 {
		return nil
	}
	services, numbers := make([]string, len(keys)), make([]int, len(keys))
	for n, key := range keys {
		services[n], numbers[n] = key.ServiceID, key.Number
	}
	_, err := tx.Exec(ctx, `UPDATE address a SET released_at = now() FROM unnest($1::text[], $2::int[]) AS k (service, number)
		WHERE a.service_id = k.service AND a.number = k.number AND a.released_at IS NULL`, services, numbers)
	if err != nil {
		return fmt.Errorf("release addresses of %d instances, the first %s: %w", len(keys), keys[0], err)
	}
	return nil
}

// ReleaseService puts the service's own addresses into quarantine; those of instances go with the instances.
func ReleaseService(ctx context.Context, tx pgx.Tx, serviceID string) error {
	_, err := tx.Exec(ctx, `UPDATE address SET released_at = now() WHERE service_id = $1 AND number IS NULL AND released_at IS NULL`,
		serviceID)
	if err != nil {
		return fmt.Errorf("release addresses of service %s: %w", serviceID, err)
	}
	return nil
}
