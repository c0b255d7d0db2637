// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// six are the addresses of a service whose last byte is n.
func six(n int) (out []wire.ServiceAddress) {
	for i, p := range []wire.Policy{wire.PolicyRoundRobin, wire.PolicyClosest, wire.PolicyUnderutilized} {
		out = append(out,
			wire.ServiceAddress{Policy: p, Address: netip.AddrFrom4([4]byte{10, 30, byte(2 + i), byte(n)})},
			wire.ServiceAddress{Policy: p, Address: netip.MustParseAddr(fmt.Sprintf("fdff:%d000::%x", i+1, n))})
	}
	return out
}

func shop(organization string) Service {
	return Service{ID: "s", JobName: "Shop.acme.Web.prod", Organization: organization, Addresses: six(1), Wanted: true, Copies: []Copy{
		{Number: 3, Generation: gen(1), Worker: "w1", State: wire.StateRunning, InstanceIP: inst(3), InstanceIPv6: netip.MustParseAddr("fdff::3")},
	}}
}

// asks has w3 want names, with what it holds of them, and returns the answers.
func (b *bed) asks(organization string, held map[string]wire.Stamp, names ...string) []string {
	b.rev++
	m := wire.NetInterest{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: b.rev})}
	for _, n := range names {
		m.Names = append(m.Names, wire.InterestName{NameKey: wire.NameKey{Organization: organization, Name: n}, Held: held[n]})
	}
	out, _ := b.SetInterest("w3", m, now)
	return showNames(out)
}

func showNames(out []Message) (lines []string) {
	for _, m := range out {
		r, ok := received(m).(wire.NetResolved)
		if !ok {
			continue
		}
		for _, n := range r.Names {
			line := fmt.Sprint(m.Worker, " ", n.Name, " ", n.Resolution)
			for _, a := range n.Addresses {
				line += " " + a.String()
			}
			lines = append(lines, strings.TrimSpace(line+" "+n.Target))
		}
	}
	return lines
}

func TestNamesOfAServiceAndItsInstances(t *testing.T) {
	b := newBed(time.Time{})
	b.SetService(shop("acme"))
	rev := semantic.ReverseName
	require.ElementsMatch(t, []string{
		"w3 web.prod.shop.acme.oak service 10.30.2.1 fdff:1000::1",
		"w3 closest.web.prod.shop.acme.oak service 10.30.3.1 fdff:2000::1",
		"w3 underutilized.web.prod.shop.acme.oak service 10.30.4.1 fdff:3000::1",
		"w3 3.web.prod.shop.acme.oak service 10.30.1.3 fdff::3",
		"w3 4.web.prod.shop.acme.oak none",
		"w3 other.prod.shop.acme.oak none",
		"w3 1.3.30.10.in-addr.arpa service closest.web.prod.shop.acme.oak",
		"w3 3.1.30.10.in-addr.arpa service 3.web.prod.shop.acme.oak",
		"w3 " + rev(netip.MustParseAddr("fdff:1000::1")) + " service web.prod.shop.acme.oak",
		"w3 " + rev(netip.MustParseAddr("fdff::3")) + " service 3.web.prod.shop.acme.oak",
		"w3 9.9.30.10.in-addr.arpa none",
	}, b.asks("acme", nil, "web.prod.shop.acme.oak", "closest.web.prod.shop.acme.oak", "underutilized.web.prod.shop.acme.oak",
		"3.web.prod.shop.acme.oak", "4.web.prod.shop.acme.oak", "other.prod.shop.acme.oak", "1.3.30.10.in-addr.arpa", "3.1.30.10.in-addr.arpa",
		rev(netip.MustParseAddr("fdff:1000::1")), rev(netip.MustParseAddr("fdff::3")), "9.9.30.10.in-addr.arpa",
		"WEB.prod.shop.acme.oak", "nonsense", "")) // what is no name is not answered: nobody sends it
}

func TestOtherOrganisationsSeeNoNames(t *testing.T) {
	b := newBed(time.Time{})
	b.SetService(shop("acme"))
	require.Equal(t, []string{"w3 1.2.30.10.in-addr.arpa none", "w3 web.prod.shop.acme.oak none"},
		b.asks("evil", nil, "web.prod.shop.acme.oak", "1.2.30.10.in-addr.arpa"))
	other := shop("evil")
	other.ID, other.Addresses, other.Copies = "x", six(9), nil
	b.SetService(other)
	require.Equal(t, []string{"w3 web.prod.shop.acme.oak service 10.30.2.9 fdff:1000::9"}, showNames(b.Flush(now)), "each has one of that name")
}

func TestAnswersToNamesFollow(t *testing.T) {
	b := newBed(time.Time{})
	name, number := "web.prod.shop.acme.oak", "4.web.prod.shop.acme.oak"
	require.Len(t, b.asks("acme", nil, name, number), 2)
	s := shop("acme")
	b.SetService(s)
	require.Equal(t, []string{"w3 " + name + " service 10.30.2.1 fdff:1000::1"}, showNames(b.Flush(now)))
	require.Empty(t, b.Flush(now), "nothing is said twice")

	told := b.workers["w3"].names[wire.NameKey{Organization: "acme", Name: name}].stamp
	held := map[string]wire.Stamp{name: told, number: b.workers["w3"].names[wire.NameKey{Organization: "acme", Name: number}].stamp}
	require.Empty(t, b.asks("acme", held, name, number), "who holds it is spared")
	require.Len(t, b.asks("acme", nil, name, number), 2, "who lost it is told again")

	s.Copies = append(slices.Clone(s.Copies), Copy{Number: 4, Generation: gen(1), Worker: "w2", State: wire.StateCreating, InstanceIP: inst(4)})
	b.SetService(s)
	require.Equal(t, []string{"w3 " + number + " service 10.30.1.4"}, showNames(b.Flush(now)))
	s.Copies = s.Copies[:1]
	b.SetService(s)
	require.Equal(t, []string{"w3 " + number + " none"}, showNames(b.Flush(now)))
	b.RemoveService("s")
	require.Equal(t, []string{"w3 " + name + " none"}, showNames(b.Flush(now)))
	require.Empty(t, b.asks("acme", nil), "no name is wanted any more")
	require.Empty(t, b.askers)
	require.Empty(t, b.named)
}

func TestSuccessorOfAServiceHasItsName(t *testing.T) {
	b := newBed(time.Time{})
	old := shop("acme")
	old.Wanted = false
	b.SetService(old)
	next := shop("acme")
	next.ID, next.Addresses, next.Copies = "t", six(2), nil
	b.SetService(next)
	require.Equal(t, []string{"w3 web.prod.shop.acme.oak service 10.30.2.2 fdff:1000::2"}, b.asks("acme", nil, "web.prod.shop.acme.oak"))
	b.RemoveService("s")
	require.Empty(t, showNames(b.Flush(now)))
}

func TestUnknownNamesAreUnavailableWhileWorkersAreUnheard(t *testing.T) {
	b := newBed(now.Add(time.Second))
	b.SetService(shop("acme"))
	require.Equal(t, []string{"w3 other.prod.shop.acme.oak unavailable", "w3 web.prod.shop.acme.oak service 10.30.2.1 fdff:1000::1"},
		b.asks("acme", nil, "web.prod.shop.acme.oak", "other.prod.shop.acme.oak"))
	b.endpoints(1)
	b.endpoints(2)
	require.Empty(t, showNames(b.Flush(now)))
	b.endpoints(3)
	require.Equal(t, []string{"w3 other.prod.shop.acme.oak none"}, showNames(b.Flush(now)), "all have been heard")

	b = newBed(now.Add(time.Second))
	require.Equal(t, []string{"w3 other.prod.shop.acme.oak unavailable"}, b.asks("acme", nil, "other.prod.shop.acme.oak"))
	b.Settle()
	require.Equal(t, []string{"w3 other.prod.shop.acme.oak none"}, showNames(b.Flush(now.Add(time.Second))), "the time for it is over")
}

// Whatever happens in whatever order, a worker ends up with the answers that a core gives which has just learnt the facts.
func TestNamesDependOnFactsAlone(t *testing.T) {
	names := []string{"web.prod.shop.acme.oak", "closest.web.prod.shop.acme.oak", "3.web.prod.shop.acme.oak", "4.web.prod.shop.acme.oak",
		"3.1.30.10.in-addr.arpa", "4.1.30.10.in-addr.arpa", "1.2.30.10.in-addr.arpa"}
	rapid.Check(t, func(t *rapid.T) {
		b := newBed(time.Time{})
		services := map[string]Service{}
		answers := map[string]wire.ResolvedName{}
		stamps := map[string]wire.Stamp{}
		wanted := []string{}
		apply := func(out []Message) {
			for _, m := range out {
				if r, ok := received(m).(wire.NetResolved); ok {
					for _, n := range r.Names {
						require.True(t, r.After(stamps[n.Name]))
						answers[n.Name], stamps[n.Name] = n, r.Stamp
					}
				}
			}
		}
		interest := func(c *bed, held map[string]wire.Stamp) []Message {
			c.rev++
			m := wire.NetInterest{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: c.rev})}
			for _, n := range wanted {
				m.Names = append(m.Names, wire.InterestName{NameKey: wire.NameKey{Organization: "acme", Name: n}, Held: held[n]})
			}
			out, _ := c.SetInterest("w3", m, now)
			return out
		}
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"s", "t"}).Draw(t, "id")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				s := shop(rapid.SampledFrom([]string{"acme", "evil"}).Draw(t, "organization"))
				s.ID, s.Addresses = id, six(rapid.IntRange(1, 2).Draw(t, "addresses"))
				s.Wanted = rapid.Bool().Draw(t, "wanted")
				s.Copies[0].Number = rapid.IntRange(3, 4).Draw(t, "number")
				services[id] = s
				b.SetService(s)
			case 1:
				delete(services, id)
				b.RemoveService(id)
			case 2:
				wanted = rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(t, "names")
				for n := range answers {
					if !slices.Contains(wanted, n) {
						delete(answers, n)
						delete(stamps, n)
					}
				}
				apply(interest(b, stamps))
			case 3:
				apply(b.Flush(now))
			}
		}
		apply(b.Flush(now))
		fresh := newBed(time.Time{})
		for id, s := range services {
			if b.services[id] != nil {
				fresh.SetService(s)
			}
		}
		// Between equals who had an address keeps it, so the newcomer is told so.
		for a, id := range b.addresses {
			fresh.addresses[a] = id
		}
		want := map[string]wire.ResolvedName{}
		for _, m := range interest(fresh, nil) {
			if r, ok := received(m).(wire.NetResolved); ok {
				for _, n := range r.Names {
					want[n.Name] = n
				}
			}
		}
		require.Equal(t, want, answers)
	})
}
