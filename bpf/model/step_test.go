// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"bytes"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf/model"
)

// packetOf makes a packet of a step's fields.
func (p *player) packetOf(step []byte) spec {
	fam := int(step[fKind] & 1)
	book := addressBook(fam)
	s := spec{
		src: pick(book, step[fSrc]), dst: pick(book, step[fDst]), proto: pick(protos, step[fProto]), flags: pick(flags, step[fFlags]),
		kind: pick([][]uint8{types4, types6}[fam], step[fFlags]), sport: pick(ports, step[fSport]), dport: pick(ports, step[fDport]),
		tos: step[fTOS], payload: bytes.Repeat([]byte{0xa5}, length(step)),
		options: step[fKind]&0x06 == 0x06, noChecksum: step[fKind]&0x18 == 0x18, more: step[fKind]&0x60 == 0x60,
	}
	if step[fKind]&0xe0 == 0x80 {
		s.offset = 3
	}
	p.pieces = p.pieces || s.more || s.offset > 0
	return s
}

// length of the payload: a byte's worth, or as much as makes a full packet.
func length(step []byte) int {
	if step[fLen] == 255 {
		return 1300
	}
	return int(step[fLen])
}

// step does what a step says.
func (p *player) step(step []byte) error {
	s := p.packetOf(step)
	fam := step[fKind] & 1
	tags := []uint32{p.w.Endpoints[serverLink].Tag, p.w.Endpoints[clientLink].Tag, p.last.Tag, 0x100001, 0, 5}
	peer := 1 + uint32(step[fPeer]&1)
	switch step[fOp] % ops {
	case opClient:
		if step[fSrc] < 200 {
			s.src = pair(nsOf, 2)[fam]
		}
		return p.give(p.progs.Container, clientLink, spoil(step, framed(s.bytes())))
	case opServer:
		if step[fSrc] < 200 {
			s.src = pair(nsOf, 3)[fam]
		}
		return p.give(p.progs.Container, serverLink, spoil(step, framed(s.bytes())))
	case opHost:
		if step[fSrc] < 200 {
			s.src = pair(nsOf, 1)[fam]
		}
		return p.give(p.progs.Container, hostLink, spoil(step, framed(s.bytes())))
	case opCaller:
		if s.dst = ownAddresses[fam]; step[fSrc] < 200 {
			s.src = [2]netip.Addr{at("198.51.100.7"), at("2001:db8:100::7")}[fam]
		}
		if s.dport = pick([]uint16{8080, 53}, step[fDport]); step[fDport] > 200 {
			s.dport = pick(ports, step[fDport])
		}
		return p.give(p.progs.UplinkIn, clientLink, spoil(step, framed(s.bytes())))
	case opTunnelBy6, opTunnel:
		if step[fOp]%ops == opTunnelBy6 {
			peer += 2
		}
		from := p.w.Peers[peer]
		next := 1 + fam
		switch step[fPeer] {
		case 253:
			next = 0xfe
		case 254:
			next = 3
		case 252: // an echo
			body := append([]byte("oake"), 0, step[fTOS]&1, 0, step[fTOS]>>1&1, 1, 2, 3, 4, 5, 6, 7, 8)
			return p.give(p.progs.UplinkIn, clientLink, spoil(step, wrapped(from, 0, step[fOuterTOS], 0xfd, append(body, s.payload...))))
		case 255:
			from.Outer = from.Outer.Next().Next().Next().Next().Next()
		}
		return p.give(p.progs.UplinkIn, clientLink, spoil(step, wrapped(from, pick(tags, step[fTag]), step[fOuterTOS], next, s.bytes())))
	case opOpen:
		return p.give(p.progs.UplinkIn, clientLink, spoil(step, framed(s.bytes())))
	case opAnswer, opComplain:
		return p.answer(step)
	case opAgain:
		if p.run == nil {
			return nil
		}
		return p.give(p.run, p.iface, spoil(step, bytes.Clone(p.frame)))
	case opBack:
		if p.lastAsked == nil {
			return nil
		}
		return p.give(p.progs.Reinject, clientLink, bytes.Clone(p.lastAsked))
	case opRouter:
		if p.sent == nil {
			return nil
		}
		return p.give(p.progs.UplinkIn, clientLink, spoil(step, p.tooBig(step)))
	case opReinject:
		frame := framed(s.bytes())
		tag := pick(tags, step[fTag])
		copy(frame, []byte{2, 0x6f, 0, 0, 0, byte(peer), 2, 0x6f, 0x61, byte(tag >> 16), byte(tag >> 8), byte(tag)})
		switch {
		case step[fPeer] < 100:
			frame[5] = 0
		case step[fPeer] > 240:
			copy(frame[2:6], []byte{0xff, 0xff, 0xff, 0xff})
		}
		return p.give(p.progs.Reinject, clientLink, spoil(step, frame))
	}
	return p.change(step)
}

// answer has whoever got the last packet answer it, or complain of it.
func (p *player) answer(step []byte) error {
	got := p.last.Got
	if !got.Src.IsValid() {
		return nil
	}
	fam := byte(0)
	if got.Src.Is6() {
		fam = 1
	}
	s := spec{src: got.Dst, dst: got.Src, proto: got.Proto, sport: got.Dport, dport: got.Sport, flags: pick(flags, step[fFlags]),
		tos: step[fTOS], payload: bytes.Repeat([]byte{0x5a}, int(step[fLen]))}
	if s.proto == unix.IPPROTO_ICMPV6 {
		s.proto = unix.IPPROTO_ICMP
	}
	if s.proto == unix.IPPROTO_ICMP {
		s.kind, s.sport = pick([][]uint8{types4, types6}[fam], 1), got.Sport
		if got.Sport == model.EchoPort { // an answer: ask again
			s.kind, s.sport = pick([][]uint8{types4, types6}[fam], 0), got.Dport
		}
	}
	if step[fOp]%ops == opComplain {
		about := s
		about.src, about.dst, about.sport, about.dport = s.dst, s.src, s.dport, s.sport
		if s.proto == unix.IPPROTO_ICMP {
			about.sport = s.sport
			about.kind = map[uint8]uint8{8: 0, 0: 8, 128: 129, 129: 128}[s.kind]
		}
		s = spec{src: s.src, dst: s.dst, proto: unix.IPPROTO_ICMP, kind: pick([][]uint8{types4[2:5], types6[2:5]}[fam], step[fFlags]),
			tos: step[fTOS], payload: about.bytes()}
	}
	if p.last.To.Peer {
		return p.give(p.progs.UplinkIn, clientLink,
			spoil(step, wrapped(p.w.Peers[p.last.To.Index], p.last.Tag, step[fOuterTOS]|step[fTOS], 1+fam, s.bytes())))
	}
	if p.last.To.Outside {
		if step[fOp]%ops == opComplain && step[fSrc]&1 != 0 { // a router on the way does
			s.src = [2]netip.Addr{at("198.51.100.99"), at("2001:db8:100::99")}[fam]
		}
		return p.give(p.progs.UplinkIn, clientLink, spoil(step, framed(s.bytes())))
	}
	return p.give(p.progs.Container, p.last.To.Index, spoil(step, framed(s.bytes())))
}

// mtus are what routers say.
var mtus = []int{1320, 1400, 1316, 1336, 1280, 576, 575, 0, 1450}

// tooBig is a router's error about the last packet to a peer. How much of that it quotes, and how long it says that it was, are the step's.
func (p *player) tooBig(step []byte) []byte {
	quoted := bytes.Clone(p.sent[14:])
	six := quoted[0]>>4 == 6
	s := spec{src: at("198.51.100.7"), dst: at("192.0.2.99"), proto: unix.IPPROTO_ICMP, kind: 3, tos: step[fTOS]}
	size := quoted[2:4]
	if six {
		s.src, s.dst, s.kind, size = at("2001:db8:100::7"), at("2001:db8::99"), 2, quoted[4:6]
	}
	switch step[fFlags] % 3 {
	case 1: // a super-packet
		clear(size)
	case 2:
		copy(size, []byte{1500 >> 8, 1500 & 0xff})
	}
	if most := int(step[fLen]); most > 0 {
		quoted = quoted[:min(most, len(quoted))]
	}
	s.payload = quoted
	frame := framed(s.bytes())
	icmp := frame[34:]
	if six {
		icmp = frame[54:]
	} else {
		icmp[1] = 4
	}
	mtu := pick(mtus, step[fKind])
	icmp[6], icmp[7] = byte(mtu>>8), byte(mtu)
	return frame
}

// change changes the tables, in the kernel and the model.
func (p *player) change(step []byte) error {
	backends := []uint32{1, 2, 3, 4, 10, 11, 13}
	index := pick(backends, step[fSrc])
	b := p.w.Backends[index]
	switch step[fKind] % 5 {
	case 0: // a peer comes or goes
		n := 1 + uint32(step[fPeer]&3)
		peer := p.w.Peers[n]
		peer.Up = !peer.Up
		p.w.Peers[n] = peer
		return p.peer(n, peer)
	case 1: // an instance comes or goes
		b.Gone = !b.Gone
	case 2: // its place gets another owner
		b.Slot++
	case 3: // NetManager comes or goes
		p.w.Manager = !p.w.Manager
		return p.config(p.w)
	case 4: // a source moves
		a := pair(instOf, 101)[step[fDst]&1]
		p.w.Sources[a] = 1 + uint32(step[fPeer]&3)
		return p.source(a, p.w.Sources[a])
	}
	p.w.Backends[index] = b
	return p.backend(p.w, index, b)
}
