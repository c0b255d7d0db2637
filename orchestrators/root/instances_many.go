// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
)

// insertInstances stores n new instances of a service with their addresses and returns their numbers, in order. No other instance of
// the service has had one of these. It takes a few statements however many they are.
func (r *Root) insertInstances(ctx context.Context, tx pgx.Tx, serviceID string, n int) (numbers []int, err error) {
	var app application
	var doc []byte
	var first, revision, count int
	err = tx.QueryRow(ctx, `UPDATE service s SET next_number = next_number + $2 FROM application a
		WHERE s.id = $1 AND s.deleted_at IS NULL AND a.id = s.application_id
		RETURNING s.next_number - $2, s.descriptor, s.revision, a.id, a.name, a.namespace, a.organization_id, a.constraints,
			(SELECT count(*) FROM instance WHERE service_id = $1)`, serviceID, n).
		Scan(&first, &doc, &revision, &app.ID, &app.Name, &app.Namespace, &app.Organization, &app.Constraints, &count)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, notFound("service", serviceID)
	}
	if err != nil {
		return nil, fmt.Errorf("number instances of service %s: %w", serviceID, err)
	}
	if count+n > maxInstances {
		return nil, conflict("too_many_instances", "a service has at most %d instances: remove one, or register a second service", maxInstances)
	}
	for i := range n {
		numbers = append(numbers, first+i)
	}
	specs, err := r.newSpecs(ctx, tx, serviceID, numbers, app, doc, revision)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO instance (service_id, number, spec, state, detail, service_revision)
		SELECT $1, i.number, i.spec::jsonb, $4, $5, $6 FROM unnest($2::int[], $3::text[]) AS i (number, spec)`,
		serviceID, numbers, specs, wire.StateRequested, "root is choosing a cluster", revision)
	if err != nil {
		return nil, fmt.Errorf("store %d instances of service %s: %w", n, serviceID, err)
	}
	return numbers, nil
}

// newSpecs returns the specifications of new instances, each with addresses of its own.
func (r *Root) newSpecs(ctx context.Context, tx pgx.Tx, serviceID string, numbers []int, app application, doc []byte, revision int) ([]string, error) {
	var m sla.Microservice
	if err := json.Unmarshal(doc, &m); err != nil {
		return nil, fmt.Errorf("read descriptor of service %s: %w", serviceID, err)
	}
	addrs, err := queryAddresses(ctx, tx, []string{serviceID})
	if err != nil {
		return nil, err
	}
	spec, err := specOf(app, &m, addrs[serviceID])
	if err != nil {
		return nil, err
	}
	spec.Revision = revision
	if err := resolveSecrets(ctx, tx, app.Organization, &m, &spec); err != nil {
		return nil, err
	}
	owner := addresses.Owner{Organization: app.Organization, ServiceID: serviceID}
	var own [2][]netip.Addr
	for family := range own {
		if own[family], err = addresses.TakeMany(ctx, tx, r.ranges, wire.PolicyInstance, family == 1, owner, numbers); err != nil {
			return nil, addressProblem(err, "")
		}
	}
	specs := make([]string, len(numbers))
	for i := range numbers {
		spec.InstanceIP, spec.InstanceIPv6 = own[0][i], own[1][i]
		text, err := json.Marshal(spec)
		if err != nil {
			return nil, fmt.Errorf("write specification of an instance of service %s: %w", serviceID, err)
		}
		specs[i] = string(text)
	}
	return specs, nil
}
