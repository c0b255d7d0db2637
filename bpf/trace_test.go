// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tracer reads what the programs tell.
type tracer struct {
	*kernel
	reader *TraceReader
}

func newTracer(t *testing.T) *tracer {
	t.Helper()
	k := newKernel(t)
	r, err := k.maps.ReadTraces()
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return &tracer{k, r}
}

func (tr *tracer) follow(filter Trace) {
	tr.t.Helper()
	if filter.Until == 0 {
		filter.Until = math.MaxInt64
	}
	must(tr.t, tr.maps.Trace.Put(0, filter))
}

func from(addrs ...netip.Addr) Trace {
	var f Trace
	for i, a := range addrs {
		f.From[i] = AddrFrom(a)
	}
	f.Froms = uint16(len(addrs))
	return f
}

// told returns the events since it was called last.
func (tr *tracer) told() (events []TraceEvent) {
	tr.t.Helper()
	for {
		e, ok, err := tr.reader.Next(time.Now().Add(time.Millisecond))
		must(tr.t, err)
		if !ok {
			return events
		}
		events = append(events, e)
	}
}

// expect holds the steps of one packet against what is wanted: "STEP A B".
func (tr *tracer) expect(what string, want ...string) []TraceEvent {
	tr.t.Helper()
	events := tr.told()
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprint(e.Step, e.A, e.B))
		if e.Packet == 0 || e.Packet != events[0].Packet {
			tr.t.Errorf("%s: event %+v has another packet's number", what, e)
		}
	}
	if !slices.Equal(got, want) {
		tr.t.Fatalf("%s: steps %v, want %v", what, got, want)
	}
	return events
}

func step(s, a, b uint32) string { return fmt.Sprint(s, a, b) }

// TestTraceOfAFlow follows one flow to another worker and back.
func TestTraceOfAFlow(t *testing.T) {
	tr := newTracer(t)
	open := tcp(client, vipRemote, 4000, 80, flagSYN)
	tr.run(tr.progs.Container, open.frame())
	tr.expect("off")

	tr.follow(from(client, clientInst))
	open.sport = 4001
	tr.run(tr.progs.Container, open.frame())
	flags := uint32(FlowRewrite | FlowTunnel)
	events := tr.expect("opening", step(StepContainer, 0, 0), step(StepService, 2, PolicyRoundRobin), step(StepBackend, 2, 0),
		step(StepOpened, 0, 0), step(StepFlow, flags, 2), step(StepPeer, 1, loopback))
	first, flow := events[0], events[4]
	if first.Src != AddrFrom(client) || first.Dst != AddrFrom(vipRemote) || first.Proto != unix.IPPROTO_TCP || first.Tcp != SeenSYN || first.Ifindex != loopback {
		t.Errorf("arrival %+v", first)
	}
	if flow.Src != AddrFrom(clientInst) || flow.Dst != AddrFrom(farServer) {
		t.Errorf("translated to %s > %s, want %s > %s", flow.Src, flow.Dst, clientInst, farServer)
	}
	open.flags = flagACK
	tr.run(tr.progs.Container, open.frame())
	tr.expect("known", step(StepContainer, 0, 0), step(StepFlow, flags, 2), step(StepPeer, 1, loopback))

	answer := tcp(farServer, clientInst, 80, 4001, flagSYN|flagACK)
	tr.run(tr.progs.UplinkIn, tunnelled(peerOuter, farTag, answer.ip()))
	events = tr.expect("answer", step(StepTunnel, 0, 0), step(StepFlow, uint32(FlowRewrite|FlowReply|FlowRemote), 0), step(StepLocal, loopback, 0))
	if events[0].Where != FromPeer|1 {
		t.Errorf("it came from %#x, want peer 1", events[0].Where)
	}
	tr.run(tr.progs.UplinkIn, tunnelled(peerOuter, serverTag, tcp(farClient, server, 5, 80, flagSYN).ip()))
	tr.expect("somebody else's")
}

// TestTraceOfWhatGoesNowhere follows packets to their end.
func TestTraceOfWhatGoesNowhere(t *testing.T) {
	tr := newTracer(t)
	reasons, err := DropReasons()
	must(t, err)
	number := func(name string) uint32 {
		for n, have := range reasons {
			if have == name {
				return n
			}
		}
		t.Fatalf("no reason %s", name)
		return 0
	}
	tr.follow(Trace{Proto: unix.IPPROTO_TCP})
	tr.run(tr.progs.Container, tcp(client, vipEmpty, 1, 2, flagSYN).frame())
	tr.expect("no instance", step(StepContainer, 0, 0), step(StepService, 4, PolicyRoundRobin), step(StepDrop, number("no_backend"), 0))
	tr.run(tr.progs.Container, tcp(server, vipLocal, 1, 2, flagSYN).frame())
	tr.expect("spoofed", step(StepContainer, 0, 0), step(StepDrop, number("spoofed_source"), 0))
	tr.run(tr.progs.Container, tcp(client, outside, 1, 2, flagSYN).frame())
	tr.expect("outside", step(StepContainer, 0, 0), step(StepStack, 0, 0))
	tr.beat()
	unknown := tcp(client, vipUnknown, 1, 2, flagSYN).frame()
	tr.run(tr.progs.Container, unknown)
	tr.expect("unknown", step(StepContainer, 0, 0), step(StepUpcall, 0, 0))
	tr.run(tr.progs.Reinject, marked(unknown, 0, 0))
	tr.expect("still unknown", step(StepBack, 0, 0), step(StepDrop, number("unresolved"), 0))

	// What has no headers passes the filter that takes all, and no other.
	stranger := tunnelled(outside, serverTag, tcp(farClient, server, 1, 2, flagSYN).ip())
	tr.run(tr.progs.UplinkIn, stranger)
	tr.expect("a stranger's")
	tr.follow(Trace{})
	tr.run(tr.progs.UplinkIn, stranger)
	events := tr.expect("a stranger's, of all", step(StepDrop, number("unknown_peer"), 0))
	if events[0].Src != AddrFrom(outside) || events[0].Dst != AddrFrom(selfOuter) {
		t.Errorf("it went %s > %s", events[0].Src, events[0].Dst)
	}
}

// TestTraceFilters holds the filter against packets of both directions.
func TestTraceFilters(t *testing.T) {
	tr := newTracer(t)
	be := func(n uint16) uint16 { return n<<8 | n>>8 }
	to := from(netip.Addr{}, vipLocal)
	to.To, to.Tos, to.From, to.Froms = to.From, 2, [MaxTraceAddresses]Addr{}, 0
	for name, c := range map[string]struct {
		filter Trace
		takes  bool
	}{
		"all":             {Trace{}, true},
		"protocol":        {Trace{Proto: unix.IPPROTO_UDP}, true},
		"other protocol":  {Trace{Proto: unix.IPPROTO_TCP}, false},
		"ports":           {Trace{Port: [2]uint16{be(7), be(53)}}, true},
		"turned round":    {Trace{Port: [2]uint16{be(53), be(7)}}, true},
		"one port":        {Trace{Port: [2]uint16{0, be(7)}}, true},
		"other port":      {Trace{Port: [2]uint16{be(7), be(54)}}, false},
		"second address":  {from(outside, client), true},
		"destination":     {to, true},
		"answer's source": {from(vipLocal), true},
		"other address":   {from(outside), false},
		"in the past":     {Trace{Until: 1}, false},
	} {
		tr.follow(c.filter)
		tr.run(tr.progs.Container, packet{src: client, dst: vipLocal, proto: unix.IPPROTO_UDP, sport: 7, dport: 53}.frame())
		if got := len(tr.told()) > 0; got != c.takes {
			t.Errorf("%s: takes is %v, want %v", name, got, c.takes)
		}
	}
	tr.follow(Trace{Until: 1})
	tr.run(tr.progs.Container, tcp(client, vipLocal, 1, 2, flagSYN).frame())
	if now, _, err := tr.maps.Trace.Lookup(0); err != nil || now.Until != 0 {
		t.Errorf("a trace whose time is over goes on: %+v, %v", now.Until, err)
	}
}

// TestTraceIsBounded samples, and counts what finds no room.
func TestTraceIsBounded(t *testing.T) {
	tr := newTracer(t)
	known := tcp(client, vipLocal, 1, 2, flagSYN).frame()
	tr.run(tr.progs.Container, known)
	tr.follow(Trace{Sample: 8})
	const packets = 4000
	arrived := 0
	for range packets / 500 {
		for range 500 {
			tr.run(tr.progs.Container, known)
		}
		for _, e := range tr.told() {
			if e.Step == StepContainer {
				arrived++
			}
		}
	}
	if want := packets / 8; arrived < want/2 || arrived > want*2 {
		t.Errorf("%d of %d packets were followed, want about %d", arrived, packets, want)
	}
	tr.follow(Trace{})
	for range 4000 {
		tr.run(tr.progs.Container, known)
	}
	arrived = 0
	for _, e := range tr.told() {
		if e.Step == StepContainer {
			arrived++
		}
	}
	now, _, err := tr.maps.Trace.Lookup(0)
	must(t, err)
	if now.Lost == 0 || arrived == 0 || uint64(arrived)+now.Lost < 4000 {
		t.Errorf("%d of 4000 packets were told of, and %d events lost", arrived, now.Lost)
	}
}
