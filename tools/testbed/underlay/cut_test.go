// SPDX-License-Identifier: Apache-2.0

package underlay

import "testing"

func TestRuleset(t *testing.T) {
	want := `table bridge oak-testbed-cut {}
delete table bridge oak-testbed-cut
table bridge oak-testbed-cut {
	chain forward {
		type filter hook forward priority 0; policy accept;
		iifname "c1" drop
		oifname "c1" drop
		iifname "c1-w1" oifname "c1-w2" drop
		iifname "c1-w2" oifname "c1-w1" drop
	}
}
`
	if got := ruleset([]Cut{{A: "c1"}, {A: "c1-w1", B: "c1-w2"}}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCutSame(t *testing.T) {
	c := Cut{A: "a", B: "b"}
	for o, want := range map[Cut]bool{{A: "a", B: "b"}: true, {A: "b", B: "a"}: true, {A: "a"}: false, {A: "b"}: false} {
		if c.Same(o) != want {
			t.Errorf("%v same as %v: want %v", c, o, want)
		}
	}
}
