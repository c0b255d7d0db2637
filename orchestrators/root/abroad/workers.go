// SPDX-License-Identifier: Apache-2.0

package abroad

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// workers returns the other clusters' workers that the services name.
func (v *viewer) workers() ([]wire.NetPeer, error) {
	named := map[string]bool{}
	for _, s := range v.services {
		for _, id := range s.Callers {
			named[id] = true
		}
		for _, x := range s.Instances {
			named[x.Peer] = true
		}
	}
	var all []wire.NetPeer
	var clusters []string
	var cluster string
	var p wire.NetPeer
	err := v.each("workers", `SELECT cluster_id, peer FROM overlay_worker WHERE worker_id = ANY($1) AND cluster_id <> $2 ORDER BY worker_id, cluster_id`,
		[]any{slices.Collect(maps.Keys(named)), v.cluster}, []any{&cluster, &p}, func() {
			if n := len(all); n == 0 || all[n-1].WorkerID != p.WorkerID { // ids are random: a second one of an id lies
				all, clusters = append(all, p), append(clusters, cluster)
			}
			p = wire.NetPeer{}
		})
	if err != nil {
		return nil, err
	}
	return all, v.believe(all, clusters)
}

// believe leaves to each worker only the sources that root knows to be its cluster's.
func (v *viewer) believe(all []wire.NetPeer, clusters []string) error {
	asked := map[string]bool{}
	for _, p := range all {
		for _, s := range p.Sources {
			asked[s.ServiceID] = true
		}
	}
	if len(asked) == 0 {
		return nil
	}
	type fact struct {
		cluster   string
		placement int64
		ip, ip6   netip.Addr
	}
	known := map[wire.InstanceKey]fact{}
	var key wire.InstanceKey
	var f fact
	type copy struct {
		cluster string
		wire.InstanceKey
		placement int64
	}
	left := map[copy]bool{}
	var c copy
	ids := slices.Collect(maps.Keys(asked))
	err := v.each("leftovers", `SELECT cluster_id, service_id, number, placement FROM leftover WHERE service_id = ANY($1)`, []any{ids},
		[]any{&c.cluster, &c.ServiceID, &c.Number, &c.placement}, func() { left[c] = true })
	if err != nil {
		return err
	}
	err = v.each("sources", `SELECT service_id, number, coalesce(cluster_id, ''), placement, (spec->>'instance_ip')::inet, (spec->>'instance_ipv6')::inet
		FROM instance WHERE service_id = ANY($1)`, []any{ids},
		[]any{&key.ServiceID, &key.Number, &f.cluster, &f.placement, &f.ip, &f.ip6}, func() { known[key] = f })
	for i := range all {
		all[i].Sources = slices.DeleteFunc(all[i].Sources, func(s wire.NetSource) bool {
			f, ok := known[s.InstanceKey]
			placement := int64(s.Generation.Placement)
			here := f.cluster == clusters[i] && f.placement == placement || left[copy{clusters[i], s.InstanceKey, placement}]
			return !ok || !here || f.ip != s.InstanceIP || f.ip6 != s.InstanceIPv6
		})
	}
	return err
}
