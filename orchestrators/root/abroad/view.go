// SPDX-License-Identifier: Apache-2.0

package abroad

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// viewer gathers what one cluster has to know.
type viewer struct {
	ctx      context.Context
	tx       pgx.Tx
	cluster  string
	services map[string]*wire.AbroadService
	// wanted are services whose instances the cluster has to know; of the others it only has callers.
	wanted map[string]bool
	full   map[string]bool // clusters that have told everything in this epoch
}

// View returns all that a cluster has to know of the others, under root's epoch: a full message without a stamp. The transaction has to show
// one moment.
func View(ctx context.Context, tx pgx.Tx, epoch uint64, clusterID string) (*wire.ClusterAbroad, error) {
	v := &viewer{ctx: ctx, tx: tx, cluster: clusterID, services: map[string]*wire.AbroadService{}, wanted: map[string]bool{}, full: map[string]bool{}}
	m := &wire.ClusterAbroad{Full: true}
	others, err := v.others(epoch)
	if err != nil {
		return nil, err
	}
	if others == 0 {
		m.Alone = true
		return m, nil
	}
	if err := v.answers(m); err != nil {
		return nil, err
	}
	if err := v.called(); err != nil {
		return nil, err
	}
	if err := v.shared(); err != nil {
		return nil, err
	}
	if err := v.describe(); err != nil {
		return nil, err
	}
	if err := v.instances(); err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(v.services)) {
		m.Services = append(m.Services, *v.services[id])
	}
	m.Workers, err = v.workers()
	return m, err
}

func (v *viewer) service(id string) *wire.AbroadService {
	s := v.services[id]
	if s == nil {
		s = &wire.AbroadService{ServiceID: id, Complete: true}
		v.services[id] = s
	}
	return s
}

// each runs a query and calls f after each row has been scanned into the targets.
func (v *viewer) each(what, sql string, args []any, into []any, f func()) error {
	rows, err := v.tx.Query(v.ctx, sql, args...)
	if err == nil {
		_, err = pgx.ForEachRow(rows, into, func() error { f(); return nil })
	}
	if err != nil {
		return fmt.Errorf("read %s for cluster %s: %w", what, v.cluster, err)
	}
	return nil
}

// others counts the other clusters.
func (v *viewer) others(epoch uint64) (n int, err error) {
	var id string
	var fullIn int64
	err = v.each("clusters", `SELECT c.id, coalesce(l.full_epoch, 0) FROM cluster c LEFT JOIN overlay_link l ON l.cluster_id = c.id WHERE c.id <> $1`,
		[]any{v.cluster}, []any{&id, &fullIn}, func() {
			n++
			v.full[id] = uint64(fullIn) == epoch
		})
	return n, err
}

// answers resolves what the cluster has asked for.
func (v *viewer) answers(m *wire.ClusterAbroad) error {
	var a wire.AbroadAnswer
	err := v.each("addresses", `SELECT w.address, coalesce(a.service_id, '') FROM overlay_want w
		LEFT JOIN address a ON a.address = w.address AND a.released_at IS NULL WHERE w.cluster_id = $1 ORDER BY w.address`,
		[]any{v.cluster}, []any{&a.Address, &a.ServiceID}, func() { m.Answers = append(m.Answers, a) })
	if err != nil {
		return err
	}
	a = wire.AbroadAnswer{}
	err = v.each("names", `SELECT n.organization_id, n.name, coalesce(s.id, '') FROM overlay_name n
		LEFT JOIN application a ON a.organization_id = n.organization_id AND lower(a.name) = n.app AND lower(a.namespace) = n.app_ns AND a.deleted_at IS NULL
		LEFT JOIN service s ON s.application_id = a.id AND lower(s.name) = n.service AND lower(s.namespace) = n.service_ns AND s.deleted_at IS NULL
		WHERE n.cluster_id = $1 ORDER BY 1, 2`,
		[]any{v.cluster}, []any{&a.Name.Organization, &a.Name.Name, &a.ServiceID}, func() { m.Answers = append(m.Answers, a) })
	if err != nil {
		return err
	}
	for _, x := range m.Answers {
		if x.ServiceID != "" {
			v.service(x.ServiceID)
			v.wanted[x.ServiceID] = true
		}
	}
	return nil
}

// called finds the cluster's services that other clusters' workers want.
func (v *viewer) called() error {
	var id string
	var callers []string
	return v.each("callers", `SELECT a.service_id, array_agg(DISTINCT caller ORDER BY caller)
		FROM overlay_want w JOIN address a ON a.address = w.address AND a.released_at IS NULL CROSS JOIN unnest(w.workers) caller
		WHERE w.cluster_id <> $1 AND (EXISTS (SELECT FROM instance i WHERE i.service_id = a.service_id AND i.cluster_id = $1)
		OR EXISTS (SELECT FROM overlay_offer o WHERE o.service_id = a.service_id AND o.cluster_id = $1 AND jsonb_array_length(o.instances) > 0))
		GROUP BY a.service_id`, []any{v.cluster}, []any{&id, &callers}, func() {
		s := v.service(id)
		s.Callers, s.Offer = slices.Clone(callers), true
	})
}

// shared finds the services of which the cluster and others have instances.
func (v *viewer) shared() error {
	var id string
	return v.each("shared services", `SELECT service_id FROM instance WHERE service_id IN (SELECT service_id FROM instance WHERE cluster_id = $1)
		AND cluster_id IS NOT NULL GROUP BY service_id HAVING count(DISTINCT cluster_id) > 1`, []any{v.cluster}, []any{&id}, func() {
		v.service(id).Shared = true
		v.wanted[id] = true
	})
}

// describe fills in what root itself knows of the services.
func (v *viewer) describe() error {
	ids := slices.Collect(maps.Keys(v.services))
	var id, job, organization string
	var ports []wire.Port
	err := v.each("services", `SELECT s.id, s.job_name, a.organization_id, coalesce((SELECT i.spec->'ports' FROM instance i WHERE i.service_id = s.id LIMIT 1), '[]')
		FROM service s JOIN application a ON a.id = s.application_id WHERE s.id = ANY($1)`, []any{ids}, []any{&id, &job, &organization, &ports}, func() {
		s := v.services[id]
		s.JobName, s.Organization, s.Ports = job, organization, ports
		ports = nil
	})
	if err != nil {
		return err
	}
	var a wire.ServiceAddress
	err = v.each("service addresses", `SELECT service_id, policy, address FROM address WHERE service_id = ANY($1) AND number IS NULL AND released_at IS NULL
		ORDER BY service_id, policy, family(address)`, []any{ids}, []any{&id, &a.Policy, &a.Address}, func() {
		v.services[id].Addresses = append(v.services[id].Addresses, a)
	})
	for id, s := range v.services {
		if s.JobName == "" { // an address that is kept for nobody's service
			delete(v.services, id)
			delete(v.wanted, id)
		}
	}
	return err
}

// placed is where root has an instance.
type placed struct {
	service, cluster string
	number           int
	placement, floor int64
	ip, ip6          netip.Addr
}

// instances adds, to the services whose instances the cluster has to know, those in other clusters: of each number the newest that is
// offered and that root has not given on to another which can be reached.
func (v *viewer) instances() error {
	ids := slices.Collect(maps.Keys(v.wanted))
	offers, offering, err := v.offers(ids)
	if err != nil {
		return err
	}
	var p placed
	return v.each("instances", `SELECT service_id, number, coalesce(cluster_id, ''), placement, routed, (spec->>'instance_ip')::inet, (spec->>'instance_ipv6')::inet
		FROM instance WHERE service_id = ANY($1) AND deleted_at IS NULL ORDER BY service_id, number`, []any{ids},
		[]any{&p.service, &p.number, &p.cluster, &p.placement, &p.floor, &p.ip, &p.ip6}, func() {
			s := v.services[p.service]
			elsewhere := p.cluster != "" && p.cluster != v.cluster
			if elsewhere && (!v.full[p.cluster] || !offering[offerKey{p.cluster, p.service}]) {
				s.Complete = false
			}
			route, ok := p.choose(offers[wire.InstanceKey{ServiceID: p.service, Number: p.number}])
			if !ok && !elsewhere {
				return
			}
			if !ok {
				route = wire.RouteInstance{Number: p.number, Generation: wire.Generation{Placement: uint32(p.placement)}, State: wire.StateClusterScheduled}
			}
			route.InstanceIP, route.InstanceIPv6 = p.ip, p.ip6
			s.Instances = append(s.Instances, route)
		})
}

// offer is a reachable instance, and the cluster that says so.
type offer struct {
	cluster string
	route   wire.RouteInstance
}

type offerKey struct{ cluster, service string }

func (v *viewer) offers(ids []string) (map[wire.InstanceKey][]offer, map[offerKey]bool, error) {
	all, told := map[wire.InstanceKey][]offer{}, map[offerKey]bool{}
	var key offerKey
	var list []wire.RouteInstance
	err := v.each("offers", `SELECT cluster_id, service_id, instances FROM overlay_offer WHERE service_id = ANY($1) AND cluster_id <> $2
		ORDER BY cluster_id, service_id`, []any{ids, v.cluster}, []any{&key.cluster, &key.service, &list}, func() {
		told[key] = true
		for _, x := range list {
			k := wire.InstanceKey{ServiceID: key.service, Number: x.Number}
			all[k] = append(all[k], offer{key.cluster, x})
		}
		list = nil
	})
	return all, told, err
}

// choose returns the newest of the offers that counts: of the placement that root has given, or of an earlier one as long as none since has
// been reachable.
func (p *placed) choose(offers []offer) (best wire.RouteInstance, ok bool) {
	for _, o := range offers {
		g := int64(o.route.Generation.Placement)
		if g > p.placement || g < p.floor || g == p.placement && o.cluster != p.cluster {
			continue
		}
		if !ok || o.route.Generation.Compare(best.Generation) > 0 {
			best, ok = o.route, true
		}
	}
	return best, ok
}
