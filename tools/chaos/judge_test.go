// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// asItShouldBe is one service with an instance on each of two workers, each of which has routes to both.
func asItShouldBe() (*wanted, []seen) {
	w := &wanted{copies: map[instance]string{{"s", 0, "1-1"}: "w1", {"s", 1, "1-1"}: "w2"}, services: map[string]int{"s": 2},
		workers: map[string]string{"id1": "w1", "id2": "w2"}}
	addr := func(n byte) inspect.InstanceAddresses {
		return inspect.InstanceAddresses{NamespaceIP: netip.AddrFrom4([4]byte{10, 18, 0, n}), InstanceIP: netip.AddrFrom4([4]byte{10, 30, 0, n})}
	}
	one := func(number uint32, worker string) seen {
		s := seen{worker: worker, tasks: map[string]int{instance{"s", int(number), "1-1"}.String(): 7},
			containers: []string{instance{"s", int(number), "1-1"}.String()},
			endpoints:  []inspect.Endpoint{{ServiceID: "s", Number: number, Generation: "1.1", Tag: 40 + number, InstanceAddresses: addr(byte(number))}},
			services:   []inspect.Service{{ServiceID: "s", Addresses: []inspect.ServiceAddress{{Address: netip.MustParseAddr("10.30.9.1")}}}}}
		for n := range uint32(2) {
			b := inspect.Backend{ServiceID: "s", Number: n, Generation: "1.1", Tag: 40 + n, Listed: true, Usable: true, InstanceAddresses: addr(byte(n))}
			if b.Local = n == number; !b.Local {
				b.WorkerID = []string{"id1", "id2"}[n]
			}
			s.backends = append(s.backends, b)
		}
		return s
	}
	return w, []seen{one(0, "w1"), one(1, "w2")}
}

// Each thing that can be wrong is seen.
func TestTheJudgeSeesWhatIsWrong(t *testing.T) {
	w, all := asItShouldBe()
	require.Empty(t, compare(w, all))
	for want, breaking := range map[string]func(w *wanted, all []seen){
		"does not run on": func(_ *wanted, all []seen) { clear(all[0].tasks); all[0].containers = nil },
		"which does not run": func(_ *wanted, all []seen) {
			all[0].containers = append(all[0].containers, "s.9.1-1")
		},
		"runs s.9.1-1, which belongs on": func(_ *wanted, all []seen) { all[0].tasks["s.9.1-1"] = 8 },
		"runs twice":                     func(_ *wanted, all []seen) { all[1].tasks["s.0.1-2"] = 8 },
		"which is no instance":           func(_ *wanted, all []seen) { all[1].tasks["stray"] = 8 },
		"has no endpoint":                func(_ *wanted, all []seen) { all[0].endpoints = nil },
		"has endpoint s.0.1-2": func(_ *wanted, all []seen) {
			all[0].endpoints[0].Generation = "1.2"
		},
		"belongs to": func(_ *wanted, all []seen) {
			all[1].endpoints[0].InstanceAddresses = all[0].endpoints[0].InstanceAddresses
		},
		"leads to service": func(_ *wanted, all []seen) {
			all[1].services = append(all[1].services, inspect.Service{ServiceID: "t", Addresses: all[0].services[0].Addresses})
		},
		"which is nowhere": func(_ *wanted, all []seen) { all[0].backends[1].Generation = "1.2" },
		"it is on w2": func(_ *wanted, all []seen) {
			all[0].backends[1].WorkerID = "id1"
		},
		"with tag 9":      func(_ *wanted, all []seen) { all[0].backends[1].Tag = 9 },
		"cannot use":      func(_ *wanted, all []seen) { all[0].backends[1].Usable = false },
		"it is 10.30.0.1": func(_ *wanted, all []seen) { all[0].backends[1].InstanceIP = netip.MustParseAddr("10.30.9.9") },
		"has routes to 1": func(_ *wanted, all []seen) { all[0].backends[1].Listed = false },
		"which has 1":     func(w *wanted, _ []seen) { w.services["s"] = 1 },
	} {
		w, all := asItShouldBe()
		breaking(w, all)
		found := compare(w, all)
		require.NotEmpty(t, found, want)
		var text string
		for _, f := range found {
			text += f + "\n"
		}
		require.Contains(t, text, want)
	}
}
