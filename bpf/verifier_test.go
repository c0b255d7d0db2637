// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// verifierBudget is how many instructions the verifier may walk through for one program. Its own limit is a million (Linux 5.2);
// staying far below it keeps older kernels' less clever verifiers happy and loading fast.
const verifierBudget = 50_000

// TestVerifierBudget prints what the verifier of this kernel walks through for each program, which each kernel counts its own way, and
// holds it against the budget.
func TestVerifierBudget(t *testing.T) {
	k := newCard(t, pairing{}) // the programs with all that can be in them
	var uts unix.Utsname
	must(t, unix.Uname(&uts))
	interim, err := LoadInterim(k.maps, Kernel{})
	must(t, err)
	defer interim.Close()
	t.Logf("%-18s %12s %9s   Linux %s", "program", "instructions", "of budget", unix.ByteSliceToString(uts.Release[:]))
	for _, p := range []struct {
		name string
		prog *ebpf.Program
	}{
		{"container", k.progs.Container}, {"uplink in", k.progs.plain}, {"uplink out", k.progs.UplinkOut},
		{"container, interim", interim.Container}, {"uplink in, interim", interim.UplinkIn},
		{"card in", k.progs.UplinkIn}, {"from card", k.progs.fromCard},
		{"reinject", k.progs.Reinject}, {"guard", k.progs.Guard}, {"sink", k.progs.Sink}, {"xdp", k.progs.XDP},
	} {
		info, err := p.prog.Info()
		must(t, err)
		n, ok := info.VerifiedInstructions()
		if !ok {
			t.Fatalf("%s: the kernel does not tell, although it is newer than 5.16", p.name)
		}
		t.Logf("%-18s %12d %8d%%", p.name, n, 100*n/verifierBudget)
		if n > verifierBudget {
			t.Errorf("%s: the verifier walked through %d instructions, want at most %d", p.name, n, verifierBudget)
		}
	}
}

// TestVersionFollowsTheTypes holds the version against the committed types: it is the same at every call and names the pins.
func TestVersionFollowsTheTypes(t *testing.T) {
	a, err := Version()
	must(t, err)
	b, err := Version()
	must(t, err)
	if a != b || len(a) != 8 {
		t.Errorf("versions %q and %q, want one of 8 digits", a, b)
	}
}

// TestReasonsHaveNames holds that every reason that the programs can count can be told by name.
func TestReasonsHaveNames(t *testing.T) {
	names, err := DropReasons()
	must(t, err)
	for n := uint32(1); n < uint32(mapsOakDropOAK_DROP_MAX); n++ {
		if names[n] == "" {
			t.Errorf("reason %d has no name", n)
		}
	}
}
