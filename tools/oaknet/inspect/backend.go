// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Backend is one instance as the target of flows that begin on this worker.
type Backend struct {
	// Index is its place in the map backends.
	Index      uint32 `json:"index"`
	ServiceID  string `json:"service_id"`
	Number     uint32 `json:"instance_number"`
	Generation string `json:"generation"` // "PLACEMENT.MOVE"
	InstanceAddresses
	// Local says that it runs on this worker; else WorkerID, which is empty if the peer is unknown, and Peer, its index, say where.
	Local    bool   `json:"local"`
	WorkerID string `json:"worker_id"`
	Peer     uint32 `json:"peer"`
	// Ifindex and Interface are those of the local endpoint.
	Ifindex   uint32 `json:"ifindex"`
	Interface string `json:"interface"`
	// Tag is the VNI of its flows.
	Tag uint32 `json:"tag"`
	Weights
	// Listed says that its service offers it; else it is kept for flows that it already has.
	Listed bool `json:"listed"`
	// Usable says that new flows can be given to it: it is local, or its peer is up.
	Usable bool `json:"usable"`
}

// Backends lists all backends by service and instance number.
func (r *Reader) Backends() ([]Backend, error) {
	t, err := r.routes()
	if err != nil {
		return nil, err
	}
	out := make([]Backend, 0, len(t.backends))
	for index, b := range t.backends {
		s := t.services[b.Service]
		weights, err := r.weights(index, b, t.health)
		if err != nil {
			return nil, err
		}
		out = append(out, Backend{
			Index: index, ServiceID: bpf.FormatID(s.Id), Number: b.Number, Generation: generation(b.Generation),
			InstanceAddresses: addressesOf(b),
			Local:             b.Peer == 0, WorkerID: bpf.FormatID(t.peers[b.Peer].Id), Peer: b.Peer,
			Ifindex: b.Ifindex, Interface: r.names[b.Ifindex], Tag: b.Tag,
			Listed: slices.Contains(listed(s), index), Usable: t.usable(b),
			Weights: weights,
		})
	}
	slices.SortFunc(out, func(a, b Backend) int {
		return cmp.Or(cmp.Compare(t.backends[a.Index].Service, t.backends[b.Index].Service), cmp.Compare(a.Number, b.Number),
			cmp.Compare(a.Index, b.Index))
	})
	return out, nil
}

func addressesOf(b bpf.Backend) InstanceAddresses {
	return instanceAddresses([2]bpf.Addr{b.Ns(bpf.V4), b.Ns(bpf.V6)}, [2]bpf.Addr{b.Inst(bpf.V4), b.Inst(bpf.V6)})
}
