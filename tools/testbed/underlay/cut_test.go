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
		iifname "c1-w3" oifname "c1-w1" drop
		iifname "c1-w2" oifname "c1-w3" drop
		iifname "c1-w3" oifname "c1-w2" drop
	}
}
`
	cuts := []Cut{{A: "c1"}, {A: "c1-w1", B: "c1-w2"}, {A: "c1-w3", B: "c1-w1", OneWay: true}}
	if got := ruleset(cuts, []Delay{{A: "c1-w2", B: "c1-w3", Milliseconds: 50}}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCutBetween(t *testing.T) {
	for c, want := range map[Cut]bool{
		{A: "a", B: "b"}: true, {A: "b", B: "a"}: true, {A: "b", B: "a", OneWay: true}: true, {A: "a"}: false, {A: "b"}: false, {A: "a", B: "c"}: false,
	} {
		if c.Between("a", "b") != want {
			t.Errorf("%v between a and b: want %v", c, want)
		}
	}
}

// TestPathsObeyCuts: where a pair is both cut and delayed, the relay loses what the cut would.
func TestPathsObeyCuts(t *testing.T) {
	delay := Delay{A: "a", B: "b", Milliseconds: 5}
	for name, c := range map[string]struct {
		cuts   []Cut
		ab, ba bool
	}{
		"none":            {nil, false, false},
		"between others":  {[]Cut{{A: "a", B: "c"}, {A: "c"}}, false, false},
		"both ways":       {[]Cut{{A: "b", B: "a"}}, true, true},
		"one way":         {[]Cut{{A: "a", B: "b", OneWay: true}}, true, false},
		"the other way":   {[]Cut{{A: "b", B: "a", OneWay: true}}, false, true},
		"from everything": {[]Cut{{A: "b"}}, true, true},
	} {
		got := Paths(c.cuts, []Delay{delay})
		if want := (PathSpec{Delay: delay, LostAB: c.ab, LostBA: c.ba}); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestCarriesPicksByReceiver(t *testing.T) {
	mac := []byte{2, 0, 0, 0, 0, 1}
	carries := receiver(mac)
	for name, c := range map[string]struct {
		frame []byte
		want  bool
	}{
		"to it":         {append(append([]byte{}, mac...), make([]byte, 8)...), true},
		"to everybody":  {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 8, 6}, true},
		"to a group":    {[]byte{0x33, 0x33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x86, 0xdd}, true},
		"to another":    {[]byte{2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 8, 0}, false},
		"cut too short": {mac[:5], false},
	} {
		if carries(c.frame) != c.want {
			t.Errorf("%s: want %v", name, c.want)
		}
	}
}
