// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"fmt"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// recover takes over what an earlier NetManager has left in the maps. The maps are the truth; no file is asked.
func (g *Greeter) recover() error {
	var err error
	for index, value := range g.cfg.Maps.Peers.All(&err) {
		if value.State == bpf.PeerFree || index == 0 {
			continue
		}
		g.indices.claim(index)
		if g.byID[value.Id] != nil || value.Id == g.id {
			continue // never written by us: the index stays taken, and the record unused
		}
		g.byID[value.Id] = &record{conversation: newConversation(value.Id, 0), index: index, kernel: value, wanted: true, since: g.now()}
	}
	if err != nil {
		return fmt.Errorf("recover peers: %w", err)
	}
	for addr, value := range g.cfg.Maps.Sources.All(&err) {
		g.sources[addr] = &source{kernel: value, wanted: true}
	}
	if err != nil {
		return fmt.Errorf("recover sources: %w", err)
	}
	return g.repairAddresses()
}

// repairAddresses makes peer_addrs agree with the peers, had the last NetManager died between two writes.
func (g *Greeter) repairAddresses() error {
	owners := map[bpf.PeerAddr]uint32{}
	byIndex := map[uint32]*record{}
	for _, p := range g.byID {
		if p.located() {
			owners[keyOf(p.kernel)] = p.index
			byIndex[p.index] = p
		}
	}
	var err error
	var wrong []bpf.PeerAddr
	for addr, index := range g.cfg.Maps.PeerAddrs.All(&err) {
		switch owners[addr] {
		case index:
			delete(owners, addr)
		case 0:
			if !byIndex[index].recoverElsewhere(addr, g.now()) {
				wrong = append(wrong, addr)
			}
		}
	}
	for _, addr := range wrong {
		if err == nil {
			err = g.cfg.Maps.PeerAddrs.Delete(addr)
		}
	}
	for addr, index := range owners {
		if err == nil {
			err = g.cfg.Maps.PeerAddrs.Put(addr, index)
		}
	}
	if err != nil {
		return fmt.Errorf("repair the addresses of peers: %w", err)
	}
	return nil
}
