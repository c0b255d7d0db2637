// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
)

// maxUnknown bounds what a cluster is asked for at once: a full report asks for the rest.
const maxUnknown = 4096

// adoptWithin is for how long after root's epoch was raised, as it is at each start, unknown instances are adopted. Clusters that were
// restored too hear of theirs only from their workers. Later, such a claim is no cluster's to make.
const adoptWithin = 10 * time.Minute

// maxAdopted bounds the number of an instance that is adopted: what a cluster says must not use up a service's numbers.
const maxAdopted = 1 << 20

// maxForgotten bounds for how many instances of services that it does not know root keeps addresses free.
const maxForgotten = 4096

// applyUnknown takes in that a cluster has an instance which this database lacks, as after a restore. One that is known to have ended is
// stopped again. Else that is no reason to stop it: only a tombstone does. The cluster is asked for its addresses. When they have come the instance is adopted, if its service is known; else nobody
// else gets them for as long as it runs.
func (r *Root) applyUnknown(ctx context.Context, tx pgx.Tx, clusterID string, report *wire.ClusterReport, in *wire.InstanceReport,
	ack *wire.ClusterReportAck,
) error {
	if in.State == wire.StateUndeployed { // it is gone, as it should be
		return addresses.ReleaseForgotten(ctx, tx, in.InstanceKey)
	}
	if ended, err := hasEnded(ctx, tx, in.InstanceKey); err != nil || ended {
		if ended {
			r.log.Warn("a cluster has an instance that had ended: was it restored? stopping it again", "cluster", clusterID, "instance", in.InstanceKey.String())
			err = ensureBuried(ctx, tx, clusterID, in.InstanceKey, int64(in.Generation.Placement))
		}
		return err
	}
	i := slices.IndexFunc(report.Specs, func(s wire.ClusterInstance) bool { return s.InstanceKey == in.InstanceKey })
	age := time.Since(time.UnixMilli(int64(min(ack.Epoch, math.MaxInt64))))
	mayAdopt := age < adoptWithin && in.Number < maxAdopted
	if mayAdopt && i >= 0 {
		return r.adoptUnknown(ctx, tx, clusterID, in, &report.Specs[i].Spec)
	}
	if mayAdopt && report.TellsSpecs && !report.SpecsTold && len(ack.Unknown) < maxUnknown {
		// Of one whose addresses are kept free all is known that there is to know.
		var ask bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM service WHERE id = $1 AND deleted_at IS NULL)
			OR NOT EXISTS (SELECT FROM address WHERE service_id = $1 AND number = $2 AND released_at IS NULL)`, in.ServiceID, in.Number).Scan(&ask)
		if err != nil {
			return fmt.Errorf("look up service %s: %w", in.ServiceID, err)
		}
		if ask {
			ack.Unknown = append(ack.Unknown, in.InstanceKey)
			return nil
		}
	}
	r.log.Warn("cluster reports an instance that root does not know", "cluster", clusterID, "instance", in.InstanceKey.String(), "state", in.State)
	return nil
}

// keepFree has nobody else get the addresses of an instance that cannot be adopted, and those of its service.
func (r *Root) keepFree(ctx context.Context, tx pgx.Tx, in *wire.InstanceReport, told *wire.InstanceSpec) error {
	n, err := addresses.Forgotten(ctx, tx)
	if err != nil {
		return err
	}
	if n >= maxForgotten {
		r.log.Error("addresses of an instance that root does not know may be given to another, since there are too many such", "instance", in.InstanceKey.String())
		return nil
	}
	keep := func(a wire.ServiceAddress, number *int) error {
		err := addresses.TakeNamed(ctx, tx, r.ranges, a, addresses.Owner{ServiceID: in.ServiceID, Number: number})
		var taken *addresses.TakenError // another instance of the service has said so, or it is too late
		var outside *addresses.OutsideError
		if errors.As(err, &taken) || errors.As(err, &outside) {
			return nil
		}
		return err
	}
	for _, a := range told.Addresses {
		if err := keep(a, nil); err != nil {
			return err
		}
	}
	for _, a := range []netip.Addr{told.InstanceIP, told.InstanceIPv6} {
		if err := keep(wire.ServiceAddress{Policy: wire.PolicyInstance, Address: a}, &in.Number); err != nil {
			return err
		}
	}
	return nil
}

// adoptUnknown makes a row for an instance that a cluster has. Of what the cluster says of it only number, generation and addresses are
// believed; the rest is made of the service's descriptor, as for any other instance.
func (r *Root) adoptUnknown(ctx context.Context, tx pgx.Tx, clusterID string, in *wire.InstanceReport, told *wire.InstanceSpec) error {
	var app application
	var doc []byte
	var revision int
	err := tx.QueryRow(ctx, `UPDATE service s SET next_number = greatest(next_number, $2 + 1) FROM application a
		WHERE s.id = $1 AND s.deleted_at IS NULL AND a.id = s.application_id AND (SELECT count(*) FROM instance i WHERE i.service_id = s.id) < $3
		RETURNING s.descriptor, s.revision, a.id, a.name, a.namespace, a.organization_id`, in.ServiceID, in.Number, maxInstances).
		Scan(&doc, &revision, &app.ID, &app.Name, &app.Namespace, &app.Organization)
	if errors.Is(err, pgx.ErrNoRows) {
		r.log.Warn("cluster has an instance of a service that root does not know, or that has too many: it runs on unclaimed", "cluster", clusterID,
			"instance", in.InstanceKey.String())
		return r.keepFree(ctx, tx, in, told)
	}
	if err != nil {
		return fmt.Errorf("adopt instance %s: %w", in.InstanceKey, err)
	}
	var m sla.Microservice
	if err := json.Unmarshal(doc, &m); err != nil {
		return fmt.Errorf("read descriptor of service %s: %w", in.ServiceID, err)
	}
	addrs, err := queryAddresses(ctx, tx, []string{in.ServiceID})
	if err != nil {
		return err
	}
	spec, err := specOf(app, &m, addrs[in.ServiceID])
	if err != nil {
		return err
	}
	spec.Revision, spec.InstanceIP, spec.InstanceIPv6 = revision, told.InstanceIP, told.InstanceIPv6
	owner := addresses.Owner{Organization: app.Organization, ServiceID: in.ServiceID, Number: &in.Number}
	for _, a := range []wire.ServiceAddress{{Policy: wire.PolicyInstance, Address: spec.InstanceIP}, {Policy: wire.PolicyInstance, Address: spec.InstanceIPv6}} {
		err := addresses.TakeNamed(ctx, tx, r.ranges, a, owner)
		var taken *addresses.TakenError
		var outside *addresses.OutsideError
		if errors.As(err, &taken) || errors.As(err, &outside) {
			// The addresses were looked at in the transaction that stores the report, which goes on.
			r.log.Error("an instance that a cluster has cannot be adopted, and runs on unclaimed: undeploy it by hand or free its address",
				"cluster", clusterID, "instance", in.InstanceKey.String(), "error", err)
			return addresses.ReleaseInstance(ctx, tx, in.InstanceKey)
		}
		if err != nil {
			return err
		}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("adopt instance %s: %w", in.InstanceKey, err)
	}
	desired, err := raiseRevision(ctx, tx, clusterID)
	if err != nil {
		return err
	}
	if err := shiftReplicas(ctx, tx, in.ServiceID, 1); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO instance (service_id, number, spec, cluster_id, placement, revision, placed_at, state, detail, service_revision)
		VALUES ($1, $2, $3, $4, $5, $6, now(), $7, '', $8)`,
		in.ServiceID, in.Number, text, clusterID, int64(in.Generation.Placement), desired, in.State, revision)
	if err != nil {
		return fmt.Errorf("adopt instance %s: %w", in.InstanceKey, err)
	}
	r.log.Warn("adopted an instance that a cluster has and the database, being older, did not know", "cluster", clusterID,
		"instance", in.InstanceKey.String(), "placement", in.Generation.Placement)
	return storeInstances(ctx, tx, []*wire.InstanceReport{in})
}
