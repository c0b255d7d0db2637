// SPDX-License-Identifier: Apache-2.0

package check

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func number[T any](n T) *T { return &n }

// sound is a worker with nothing wrong.
func sound() View {
	v := View{
		Status: inspect.Status{
			Manager: inspect.Manager{State: "alive", Heartbeat: number(0.2)},
			Config: inspect.Config{
				ServiceRange: netip.MustParsePrefix("10.30.0.0/16"), Gateway: netip.MustParseAddr("10.18.0.1"), TunnelPort: 50103, MTU: 1444, UpcallIfindex: 4,
			},
			Kernel: "6.18", Features: []features.Feature{{Name: "tcx", Found: true, Used: true}},
			Maps: []inspect.MapUse{
				{Name: "flows", Type: "Hash", Entries: number(10), MaxEntries: 1000},
				{Name: "fragments", Type: "LRUHash", Entries: number(1000), MaxEntries: 1000},
				{Name: "config", Type: "Array", Entries: number(1), MaxEntries: 1},
			},
		},
		Nodes: []inspect.Node{{
			Index: 1, WorkerID: "b", State: "up", Outer: netip.MustParseAddr("192.0.2.2"), Port: 50103, MTU: 1464, LastHeard: number(2.0),
		}},
		Endpoints: []inspect.Endpoint{{ServiceID: "s", Attached: true}},
	}
	for i, kind := range []string{"uplink_in", "uplink_out", "guard", "reinject", "sink", "container"} {
		v.Status.Programs = append(v.Status.Programs, inspect.Program{Kind: kind, Ifindex: i, Attached: true, Tag: kind})
	}
	return v
}

func judge(v View, tried map[uint32]Way) Findings {
	return slices.Concat(Datapath(v), Peers(v, tried))
}

func TestNothingIsWrong(t *testing.T) {
	f := judge(sound(), map[uint32]Way{1: {Answered: true, RoundTrip: time.Millisecond, Bytes: 1500, Tried: 1500}})
	for _, one := range f {
		assert.Equal(t, OK, one.Level, one)
		assert.Empty(t, one.Advice, one)
	}
	assert.Contains(t, f, Finding{OK, "peer b", "round trip 1.00 ms, packets of 1500 bytes arrive", ""})
	assert.Len(t, f, 6)
}

// TestEachFault breaks one thing at a time and expects the one finding that names it.
func TestEachFault(t *testing.T) {
	for name, c := range map[string]struct {
		spoil                func(*View)
		tried                Way
		level, subject, text string
	}{
		"dead":      {func(v *View) { v.Status.Manager = inspect.Manager{State: "dead", Heartbeat: number(70.0)} }, Way{}, Failure, "NetManager", "dead for 70 s"},
		"never":     {func(v *View) { v.Status.Manager = inspect.Manager{State: "never"} }, Way{}, Failure, "NetManager", "never ready"},
		"unset":     {func(v *View) { v.Status.Config.ServiceRange = netip.Prefix{} }, Way{}, Failure, "settings", "carry nothing"},
		"no upcall": {func(v *View) { v.Status.Config.UpcallIfindex = 0 }, Way{}, Failure, "settings", "first packets"},
		"no guard":  {func(v *View) { v.Status.Programs = slices.Delete(v.Status.Programs, 2, 3) }, Way{}, Failure, "program guard", "on no interface"},
		"two builds": {func(v *View) {
			v.Status.Programs = append(v.Status.Programs, inspect.Program{Kind: "container", Attached: true, Tag: "older"})
		}, Way{}, Warning, "program container", "2 builds"},
		"left over": {func(v *View) {
			v.Status.Programs = append(v.Status.Programs, inspect.Program{Kind: "container"})
		}, Way{}, Note, "programs", "1 link without an interface"},
		"unseen": {func(v *View) { v.Status.Programs, v.Status.Features = nil, nil }, Way{}, Warning, "programs", "none is seen"},
		"bare":   {func(v *View) { v.Endpoints[0].Attached = false }, Way{}, Failure, "endpoint s.0", "reaches nobody"},
		"fallback": {func(v *View) {
			v.Status.Features = append(v.Status.Features, features.Feature{Name: "decap_l3", Least: "6.3", Fallback: "slower"})
		}, Way{}, Note, "kernel 6.18", "without decap_l3"},
		"full":        {func(v *View) { v.Status.Maps[0].Entries = number(960) }, Way{}, Failure, "map flows", "96 % full"},
		"nearly full": {func(v *View) { v.Status.Maps[0].Entries = number(810) }, Way{}, Warning, "map flows", "81 % full"},
		"held": {func(v *View) {
			v.Routes = []inspect.Route{{Address: netip.MustParseAddr("10.30.0.9"), Waiting: 2}}
		}, Way{}, Note, "address 10.30.0.9", "2 first packets wait"},
		"alone":       {func(v *View) { v.Nodes = nil }, Way{}, Note, "peers", "no other worker"},
		"never met":   {func(v *View) { v.Nodes[0].State = "greeting" }, Way{}, Failure, "peer b", "never met"},
		"unreachable": {func(v *View) { v.Nodes[0].State = "unreachable" }, Way{}, Failure, "peer b", "does not answer at 192.0.2.2:50103 for 2 s"},
		"behind NATs": {func(v *View) {
			n := &v.Nodes[0]
			n.State, n.Outer, n.Port, n.Reason = "unreachable", netip.Addr{}, 0, "both behind symmetric NAT: open UDP port 50103 at one of them"
		}, Way{}, Failure, "peer b", "cannot be reached: both behind symmetric NAT: open UDP port 50103 at one of them"},
		"silent":     {func(v *View) { v.Nodes[0].LastHeard = number(90.0) }, Way{}, Warning, "peer b", "silent for 90 s"},
		"too little": {func(v *View) { v.Nodes[0].MTU = 1443 }, Way{}, Warning, "peer b", "takes 1443 bytes, containers' largest packets have 1444"},
		"black hole": {func(*View) {}, Way{Answered: true, Tried: 1500, Bytes: 1400}, Failure, "peer b", "1500 bytes are lost, of 1400 bytes arrive"},
		"narrow": {func(v *View) {
			v.Nodes[0].PathMTU, v.Nodes[0].PathLearned, v.Nodes[0].PathFor = 1364, number(20.0), number(580.0)
		}, Way{}, Note, "peer b", "carries 1400 bytes: 1364 in the tunnel (learned 20 s ago, tried anew in 580 s); containers learn"},
		"too narrow": {func(v *View) {
			v.Nodes[0].PathMTU, v.Status.Config.GatewayV6 = 1279, netip.MustParseAddr("fc00::1")
		}, Way{}, Warning, "peer b", "IPv6 needs 1280"},
		"a router says so": {func(*View) {}, Way{Answered: true, Tried: 1500, Bytes: 1400, Told: 1400}, Note, "peer b", "of longer ones a router says so"},
		"hole behind it":   {func(*View) {}, Way{Answered: true, Tried: 1500, Bytes: 1300, Told: 1400}, Failure, "peer b", "1500 bytes are lost, of 1300 bytes arrive"},
		"no echo":          {func(*View) {}, Way{Tried: 1500}, Note, "peer b", "no ICMP echo"},
		"not tried":        {func(*View) {}, Way{Err: errors.New("not permitted")}, Note, "peer b", "not permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			v := sound()
			c.spoil(&v)
			tried := map[uint32]Way{}
			if c.tried != (Way{}) {
				tried[1] = c.tried
			}
			f := judge(v, tried)
			f.Sort()
			require.NotEmpty(t, f)
			assert.Equal(t, []string{c.level, c.subject}, []string{f[0].Level, f[0].Subject})
			assert.Contains(t, f[0].Text, c.text)
			if c.level != Note {
				assert.NotEmpty(t, f[0].Advice)
			}
			if c.level == Failure {
				assert.Positive(t, f.Failed())
			}
			if len(f) > 1 {
				assert.Equal(t, OK, f[1].Level, "nothing else is wrong")
			}
		})
	}
}

func TestDropsOfAWhile(t *testing.T) {
	drop := func(reason string, n uint64) inspect.Drop {
		return inspect.Drop{Kind: inspect.CountsDrop, Reason: reason, Packets: n}
	}
	before := []inspect.Drop{drop("no_manager", 5), drop("bad_tag", 1)}
	assert.Equal(t, Findings{{OK, "drops", "none in 2.0 s", ""}}, Drops(before, before, 2*time.Second))
	f := Drops(before, []inspect.Drop{
		drop("no_manager", 6), drop("bad_tag", 1), drop("malformed", 3), {Kind: inspect.CountsPass, Reason: "to_local", Packets: 9},
	}, time.Second)
	require.Len(t, f, 2)
	assert.Equal(t, []string{Failure, "drop no_manager", "1 packet in 1.0 s"}, []string{f[0].Level, f[0].Subject, f[0].Text})
	assert.Equal(t, Finding{Note, "drop malformed", "3 packets in 1.0 s", ""}, f[1])
}

func TestClock(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		now   time.Time
		sync  bool
		off   time.Duration
		level string
	}{
		{now, true, time.Millisecond, OK}, {now, false, 0, Warning}, {now, true, time.Minute, Warning}, {time.Unix(0, 0), true, 0, Failure},
	} {
		f := clock(c.now, c.sync, c.off)
		require.Len(t, f, 1)
		assert.Equal(t, c.level, f[0].Level)
		assert.Equal(t, c.level == OK, f[0].Advice == "")
	}
	assert.Len(t, Clock(now), 1)
}
