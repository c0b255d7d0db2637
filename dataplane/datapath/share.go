// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// chargedTo returns the interface of the endpoint that a flow is charged to, as bpf/include/share.h has it, and whether the entry is that of the
// flow's opener, and the flow established.
func chargedTo(k bpf.FlowKey, f bpf.Flow) (ifindex uint32, charged bool) {
	if f.Flags&bpf.FlowReply != 0 || f.Flags&bpf.FlowEstablished == 0 || f.Flags&bpf.FlowClosed != 0 {
		return 0, false
	}
	if k.From == bpf.FromOutside || k.From&bpf.FromPeer != 0 {
		return f.To, true
	}
	return k.From, true
}

// family is that of a flow's packets.
func family(k bpf.FlowKey) int {
	if k.Src.Netip().Is4() {
		return bpf.V4
	}
	return bpf.V6
}

// sharesOf returns how many flows each endpoint is said to have.
func sharesOf(m *bpf.Maps) (map[uint32]bpf.Share, error) {
	shares := map[uint32]bpf.Share{}
	var err error
	for ifindex, s := range m.Shares.All(&err) {
		shares[ifindex] = s
	}
	return shares, err
}

// setShares brings the counts to what was found, as setActives does, and forgets endpoints that are gone.
func setShares(m *bpf.Maps, before, counted map[uint32]bpf.Share) error {
	var errs []error
	for ifindex := range before {
		if _, ok := counted[ifindex]; !ok {
			counted[ifindex] = bpf.Share{}
		}
	}
	for ifindex, found := range counted {
		_, here, err := m.Endpoints.Lookup(ifindex)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !here {
			errs = append(errs, m.Shares.Delete(ifindex))
			continue
		}
		has, ok, err := m.Shares.Lookup(ifindex)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		want := has
		for f := range want.Flows {
			was, n := before[ifindex].Flows[f], int64(found.Flows[f])
			want.Flows[f] = uint32(max(n+int64(int32(has.Flows[f]-was)), 0))
		}
		if !ok || want != has {
			errs = append(errs, m.Shares.Put(ifindex, want))
		}
	}
	return errors.Join(errs...)
}
