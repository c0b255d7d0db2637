// SPDX-License-Identifier: Apache-2.0

package scheduler

import "github.com/oakestra/oakestra-ebpf/control/wire"

type portKey struct {
	host uint16
	udp  bool
}

// holders are the candidates on which a host port cannot be had.
type holders struct {
	taken, inUse set
}

// set is a set of candidates that counts how often each was added.
type set struct {
	bits  []uint64
	twice map[int32]int32 // how often beyond once
}

func (s *set) has(i int32) bool {
	w := int(i >> 6)
	return w < len(s.bits) && s.bits[w]&(1<<(i&63)) != 0
}

func (s *set) add(i int32) {
	if s.has(i) {
		if s.twice == nil {
			s.twice = map[int32]int32{}
		}
		s.twice[i]++
		return
	}
	w := int(i >> 6)
	for len(s.bits) <= w {
		s.bits = append(s.bits, 0)
	}
	s.bits[w] |= 1 << (i & 63)
}

func (s *set) remove(i int32) {
	if n := s.twice[i]; n > 1 {
		s.twice[i]--
		return
	} else if n == 1 {
		delete(s.twice, i)
		return
	}
	if s.has(i) {
		s.bits[i>>6] &^= 1 << (i & 63)
	}
}

func keyOf(p wire.Port) portKey { return portKey{p.Host, p.Protocol == wire.ProtocolUDP} }

func (p *Pool) holdersOf(port wire.Port) *holders {
	k := keyOf(port)
	h := p.ports[k]
	if h == nil {
		h = &holders{}
		p.ports[k] = h
	}
	return h
}

// port returns why the candidate cannot give the port, or [accepted].
func (p *Pool) port(want wire.Port, i int32) reason {
	switch h := p.ports[keyOf(want)]; {
	case h == nil:
		return accepted
	case h.taken.has(i):
		return portTaken
	case h.inUse.has(i):
		return portInUse
	}
	return accepted
}

// claimProcesses notes, or forgets, the ports of a candidate's own processes.
func (p *Pool) claimProcesses(i int32, claim bool) {
	used := &p.candidates[i].UsedPorts
	for _, list := range []struct {
		ports    []uint16
		protocol string
	}{{used.TCP, wire.ProtocolTCP}, {used.UDP, wire.ProtocolUDP}} {
		for _, n := range list.ports {
			h := p.holdersOf(wire.Port{Host: n, Protocol: list.protocol})
			if claim {
				h.inUse.add(i)
			} else {
				h.inUse.remove(i)
			}
		}
	}
}
