// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"sync"
	"testing"
)

// player1 is made once a process: loading takes longer than many scripts.
var player1 = sync.OnceValues(newPlayer)

// FuzzPrograms holds that the programs and the model agree on verdict, reason, every byte that comes out and every flow, for any packets in
// any order. Without -fuzz it plays the seeds.
func FuzzPrograms(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		p, err := player1()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.play(script); err != nil {
			t.Error(err)
		}
	})
}

// TestSeedsReachFar holds that what the fuzzer begins with is not merely refused: a fifth is sent on, and the model's ways are walked.
func TestSeedsReachFar(t *testing.T) {
	p, err := newPlayer()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range seeds() {
		if err := p.play(s); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d packets, %d sent on: %v", p.Packets, p.Delivered, p.Seen)
	if p.Delivered*5 < p.Packets {
		t.Errorf("%d of %d packets are sent on, want a fifth at least", p.Delivered, p.Packets)
	}
	for _, what := range []string{
		"to_local", "to_tunnel", "to_stack", "to_outside", "flow_share", "upcall", "hello", "echo",
		"malformed", "not_ip", "fragment", "protocol", "spoofed_source", "no_endpoint", "namespace_ip", "no_service", "no_backend",
		"backend_gone", "unresolved", "no_manager", "no_flow", "too_big", "path_lowered", "path_refused", "bad_header", "unknown_peer", "bad_tag", "bad_source", "stale_route",
		"overlay_on_uplink", "outer_fragment", "broadcast", "congested", "neighbour",
	} {
		if p.Seen[what] == 0 {
			t.Errorf("no seed leads to %s", what)
		}
	}
}
