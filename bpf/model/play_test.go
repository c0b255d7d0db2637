// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/model"
)

// maxSteps bounds a script, so that no bucket of tokens runs dry and nothing times out within one.
const maxSteps = 40

// player plays scripts on the kernel and the model at once.
type player struct {
	*kernel
	hellos *ringbuf.Reader
	w      *model.World

	run       *ebpf.Program // the last packet, as it was given
	iface     uint32
	frame     []byte
	last      model.Outcome // of the last packet that a flow carried
	lastAsked []byte        // the last frame that NetManager got
	sent      []byte        // the last frame that left for a peer
	pieces    bool

	// Packets, and those of them that were sent on.
	Packets, Delivered int
	Seen               map[string]int // by reason, and by where packets went
}

func newPlayer() (*player, error) {
	k, err := load()
	if err != nil {
		return nil, err
	}
	hellos, err := ringbuf.NewReader(k.maps.Events)
	if err != nil {
		return nil, err
	}
	return &player{kernel: k, hellos: hellos, Seen: map[string]int{}}, nil
}

// play runs a script. The error says where kernel and model part.
func (p *player) play(script []byte) (err error) {
	if err := p.begin(); err != nil {
		return err
	}
	defer func() {
		if e := p.end(); err == nil {
			err = e
		}
	}()
	for n := 0; n < maxSteps && len(script) >= stepLen; n, script = n+1, script[stepLen:] {
		if err := p.step(script[:stepLen]); err != nil {
			return fmt.Errorf("step %d, % x: %w", n, script[:stepLen], err)
		}
	}
	return nil
}

func (p *player) begin() error {
	p.w, p.last, p.lastAsked, p.sent, p.run, p.pieces = newWorld(), model.Outcome{}, nil, nil, nil, false
	p.w.Pick = func(key model.Key, allowed []uint32) uint32 {
		f, ok, err := p.maps.Flows().Lookup(keyOf(key))
		if err != nil || !ok || !slices.Contains(allowed, f.Backend) {
			return 0
		}
		return f.Backend
	}
	p.w.MovedPort = func(key model.Key) uint16 {
		f, _, err := p.maps.Flows().Lookup(keyOf(key))
		if err != nil {
			return 0
		}
		return htons(f.Sport)
	}
	var t try
	t.do(p.maps.Heartbeat.Put(0, monotonic()))
	for n := range p.w.Peers {
		t.do(p.maps.PeerHealth.Put(n, bpf.PeerHealth{}))
		t.do(p.maps.Paths.Put(n, bpf.Path{}))
		t.do(p.maps.MissRate.Delete(0x80000000 | n))
		for _, bucket := range []uint32{0xa0000000, 0xb0000000, 0xc0000000, 0xd0000000, 0xe0000000, 0xf0000000} { // rate.h
			t.do(p.maps.MissRate.Delete(bucket | n))
		}
	}
	for _, who := range []uint32{clientLink, serverLink, hostLink, 0xc0000000, 0x90000000, 0x98000000} {
		t.do(p.maps.MissRate.Delete(who))
		t.do(p.maps.MissRate.Delete(0x20000000 | who))
		t.do(p.maps.MissRate.Delete(0x40000000 | who))
	}
	p.hellos.SetDeadline(time.Now())
	for {
		if _, err := p.hellos.Read(); err != nil {
			break
		}
	}
	for n := range p.w.Sets {
		t.do(p.maps.Cursors.Put(n, 0))
	}
	t.do(p.install(p.w))
	return t.err
}

// hello returns the next hello that NetManager gets, and passes over what else it is told.
func (p *player) hello() ([]byte, error) {
	p.hellos.SetDeadline(time.Now().Add(time.Second))
	for {
		record, err := p.hellos.Read()
		if err != nil {
			return nil, fmt.Errorf("read a hello: %w", err)
		}
		const hello = 1 // OAK_EVENT_HELLO
		if len(record.RawSample) > 100 && binary.NativeEndian.Uint32(record.RawSample) == hello {
			return record.RawSample, nil
		}
	}
}

// end holds that the kernel has no flow that the model has not, and forgets all.
func (p *player) end() error {
	var t try
	var err error
	extra := -len(p.w.Flows)
	var keys []bpf.FlowKey
	for key := range p.maps.Flows().All(&err) {
		extra++
		keys = append(keys, key)
	}
	t.do(err)
	for index := range p.w.Backends {
		l, _, err := p.maps.Loads.Lookup(index)
		t.do(err)
		if err == nil && l.Active != p.w.Active[index] {
			t.do(fmt.Errorf("backend %d has %d active flows, want %d", index, l.Active, p.w.Active[index]))
		}
	}
	if extra != 0 {
		t.do(fmt.Errorf("the kernel has %d flows more than the model: %+v", extra, keys))
	}
	for _, key := range keys {
		t.do(p.maps.Flows().Delete(key))
	}
	for _, what := range p.w.Holding() {
		t.do(p.maps.Pending.Delete(pendingKey(what)))
	}
	if p.pieces {
		for key := range p.maps.Fragments.All(&err) {
			t.do(p.maps.Fragments.Delete(key))
		}
		t.do(err)
	}
	t.do(p.emptyRings())
	return t.err
}

// emptyRings has flows of one script not push out those of the next, which have the same keys.
func (p *player) emptyRings() error {
	var t try
	at, _, err := p.maps.RingAt.Lookup(0)
	t.do(err)
	closed, _, err := p.maps.RingAt.Lookup(1)
	t.do(err)
	size := p.maps.Rings.Map().MaxEntries() / 2
	for ring, used := range [][]uint32{at, closed} {
		for slot := range slices.Max(used) {
			index := uint32(ring)*size + slot
			keys, _, err := p.maps.Rings.Lookup(index)
			t.do(err)
			clear(keys)
			t.do(p.maps.Rings.Put(index, keys))
		}
		clear(used)
		t.do(p.maps.RingAt.Put(uint32(ring), used))
	}
	return t.err
}

func pendingKey(what model.Wanted) bpf.Addr {
	a := bpf.AddrFrom(what.Addr)
	if what.Source {
		a.B[0] ^= 0x80
	}
	return a
}

// context is the start of struct __sk_buff (linux/bpf.h), of which a test run takes the interface.
type context struct {
	_       [10]uint32
	Ifindex uint32
	_       [33]uint32
}

// give gives a frame to a program and to the model and compares all that comes of it.
func (p *player) give(prog *ebpf.Program, iface uint32, frame []byte) error {
	p.run, p.iface, p.frame = prog, iface, bytes.Clone(frame)
	dropsBefore, sentBefore, err := p.counts()
	if err != nil {
		return err
	}
	if err := p.given(p.w); err != nil {
		return err
	}
	opts := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256), Context: context{Ifindex: iface}}
	verdict, err := prog.Run(opts)
	if err != nil {
		if errors.Is(err, unix.EINVAL) {
			return nil // the kernel makes no packet of this
		}
		return err
	}
	var want model.Outcome
	switch prog {
	case p.progs.Container:
		want = p.w.Container(iface, frame)
	case p.progs.UplinkIn:
		want = p.w.UplinkIn(frame)
	default:
		want = p.w.Reinject(frame)
	}
	p.Packets++
	p.Seen[want.Reason]++
	p.Seen[want.Sent]++
	if want.Sent != "" && want.Reason == "" {
		p.Delivered++
	}
	drops, sent, err := p.counts()
	if err != nil {
		return err
	}
	if err := same(verdict, opts.DataOut, want, delta(dropsBefore, drops), delta(sentBefore, sent)); err != nil {
		return fmt.Errorf("frame % x on interface %d: %w", frame, iface, err)
	}
	if want.Sent == "to_tunnel" {
		p.sent = opts.DataOut
	}
	return p.after(want)
}

func delta(before, after map[string]uint64) map[string]uint64 {
	d := map[string]uint64{}
	for name, n := range after {
		if n != before[name] {
			d[name] = n - before[name]
		}
	}
	return d
}

// same compares verdict, reason, counters of where it went, and every byte.
func same(verdict uint32, frame []byte, want model.Outcome, drops, sent map[string]uint64) error {
	wantDrops, wantSent := map[string]uint64{}, map[string]uint64{}
	if want.Reason != "" {
		wantDrops[want.Reason] = 1
	}
	if want.Sent != "" {
		wantSent[want.Sent] = 1
	}
	if want.From != "" {
		wantSent[want.From] = 1
	}
	if verdict != want.Verdict || !maps.Equal(drops, wantDrops) || !maps.Equal(sent, wantSent) {
		return fmt.Errorf("verdict %#x, drops %v, sent %v; the model says %#x %v %v", verdict, drops, sent, want.Verdict, wantDrops, wantSent)
	}
	if want.Verdict == model.Drop {
		return nil
	}
	exp := bytes.Clone(want.Frame)
	if want.SourcePortFree && len(frame) == len(exp) {
		at := 14 + 20
		if exp[14]>>4 == 6 {
			at = 14 + 40
		}
		if port := binary.BigEndian.Uint16(frame[at:]); port < 49152 {
			return fmt.Errorf("outer source port %d is not in the dynamic range", port)
		}
		copy(exp[at:at+2], frame[at:])
	}
	if !bytes.Equal(frame, exp) {
		return fmt.Errorf("sent\n% x\nthe model says\n% x", frame, exp)
	}
	return nil
}

// after compares what is remembered, and brings what the clock decides to where the model has it.
func (p *player) after(want model.Outcome) error {
	var t try
	for key, f := range p.w.Flows {
		text, err := p.differs(key, f)
		t.do(err)
		if text != "" {
			t.do(errors.New(text))
		}
	}
	if want.Hello != nil {
		got, err := p.hello()
		t.do(err)
		if err == nil && !bytes.Contains(got, want.Hello) {
			t.do(fmt.Errorf("NetManager got hello % x, want % x in it", got, want.Hello))
		}
	}
	for _, what := range p.w.Holding() {
		up, down := p.w.Held(what)
		got, ok, err := p.maps.Pending.Lookup(pendingKey(what))
		t.do(err)
		if err == nil && (!ok || int(got.Up) != up || int(got.Down) != down) {
			t.do(fmt.Errorf("held of %v: %+v, want %d up and %d down", what, got, up, down))
		}
		if up == down { // the settling time passes
			got.LastDown = monotonic() - 1e8
			t.do(p.maps.Pending.Put(pendingKey(what), got))
		}
	}
	for iface := range p.w.Endpoints {
		got, _, err := p.maps.Shares.Lookup(iface)
		t.do(err)
		if has := p.w.Shares[iface]; err == nil && (int(got.Flows[0]) != has[0] || int(got.Flows[1]) != has[1]) {
			t.do(fmt.Errorf("interface %d is charged with %v established flows, the model says %v", iface, got.Flows, has))
		}
	}
	for n := range p.w.Peers {
		got, _, err := p.maps.Paths.Lookup(n)
		t.do(err)
		if err == nil && int(got.Mtu) != p.w.Paths[n] {
			t.do(fmt.Errorf("the way to peer %d is held to carry %d, the model says %d", n, got.Mtu, p.w.Paths[n]))
		}
	}
	// How long round trips took is the kernel's to say.
	for index, b := range p.w.Backends {
		if b.Peer == 0 {
			continue
		}
		h, _, err := p.maps.PeerHealth.Lookup(b.Peer)
		t.do(err)
		if b.RTT = 0; h.Sampled > 0 {
			b.RTT = h.RttUs
		}
		p.w.Backends[index] = b
	}
	if want.Sent == "upcall" {
		p.lastAsked = want.Frame
	}
	if want.Got.Src.IsValid() {
		p.last = want
	}
	return t.err
}
