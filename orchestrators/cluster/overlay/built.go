// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// built are the routes of a service as its facts are now, made once for all who want them. But for its stamp, and for what has been
// written of it already, it does not change.
type built struct {
	service string
	// head is the message without instances and stamp, print the same as it is written.
	head  wire.NetRoutes
	print []byte
	// entries are all instances, by number.
	entries []routeEntry
	// byAddress says which entry an Instance IP is of, if there are more entries than one worker is told.
	byAddress map[netip.Addr]int32

	stamp wire.Stamp
	// whole is the message with all instances, changes what is said to those who hold earlier routes, frames what is around instances,
	// both by the stamp that is held: all of this stamp, made when it is asked for.
	whole   []byte
	changes map[wire.Stamp][]byte
	frames  map[wire.Stamp]frame
}

// routeEntry is one instance.
type routeEntry struct {
	number int
	peer   string
	// mixed is the number as [Core.choose] counts with it.
	mixed uint64
	// text is the instance as it is written. Where that is as it was before, it is the same memory.
	text []byte
}

// same reports whether two entries are told alike.
func (e *routeEntry) same(f *routeEntry) bool {
	return &e.text[0] == &f.text[0] || bytes.Equal(e.text, f.text)
}

// frame is a message around its instances; tail begins with the bracket that closes them.
type frame struct{ front, tail []byte }

// routesOf returns the routes of a service, made anew if its facts have changed.
func (c *Core) routesOf(s *service) *built {
	if s.built != nil && !s.stale {
		return s.built
	}
	own := slices.DeleteFunc(slices.Clone(s.Addresses), func(a wire.ServiceAddress) bool { return !c.owns(s.ID, a.Address) })
	b := &built{service: s.ID,
		head: wire.NetRoutes{ServiceID: s.ID, JobName: s.JobName, Addresses: own, Ports: s.Ports, Instances: []wire.RouteInstance{}}}
	b.print = encode(b.head)
	all := make([]wire.RouteInstance, 0, len(s.Copies))
	for _, x := range c.routable(s) {
		all = append(all, c.route(s, x))
	}
	slices.SortFunc(all, func(x, y wire.RouteInstance) int { return cmp.Compare(x.Number, y.Number) })
	b.entries = make([]routeEntry, len(all))
	for i := range all {
		b.entries[i] = routeEntry{number: all[i].Number, peer: all[i].Peer, text: encode(all[i]), mixed: mix(uint64(all[i].Number) + 1)} //nolint:gosec // any bits will do
	}
	if len(all) > maxRoutes {
		b.byAddress = make(map[netip.Addr]int32, 2*len(all))
		for i := range all {
			for _, a := range []netip.Addr{all[i].InstanceIP, all[i].InstanceIPv6} {
				if a.IsValid() {
					b.byAddress[a] = int32(i) //nolint:gosec // there are not that many instances
				}
			}
		}
	}
	if old := s.built; old != nil {
		b.share(old)
		old.whole, old.changes, old.frames = nil, nil, nil // nobody is told of it any more
	}
	s.built, s.stale = b, false
	return b
}

// share has b use the memory of former routes where it says the same.
func (b *built) share(old *built) {
	k := 0
	for i := range b.entries {
		for k < len(old.entries) && old.entries[k].number < b.entries[i].number {
			k++
		}
		if k < len(old.entries) && old.entries[k].number == b.entries[i].number && bytes.Equal(old.entries[k].text, b.entries[i].text) {
			b.entries[i].text = old.entries[k].text
		}
	}
}

// stampFor stamps the routes, once unless a worker holds such a stamp, or a later one, already.
func (b *built) stampFor(c *Core, held wire.Stamp) {
	if b.stamp.IsZero() || b.stamp.Epoch < c.epoch || held.Compare(b.stamp) >= 0 {
		b.stamp = c.next()
		b.whole, b.changes, b.frames = nil, nil, nil
	}
}

// count is how many instances a worker is told who is told those chosen; nil stands for all.
func (b *built) count(chosen []int32) int {
	if chosen == nil {
		return len(b.entries)
	}
	return len(chosen)
}

// at returns the i-th of those chosen.
func (b *built) at(chosen []int32, i int) *routeEntry {
	if chosen == nil {
		return &b.entries[i]
	}
	return &b.entries[chosen[i]]
}

// difference is what became of one worker's routes of a service.
type difference struct {
	different []*routeEntry
	gone      []int
}

// since works out, into d, what is different in b from what a worker was told. It reports whether there is anything.
func (b *built) since(told *sent, chosen []int32, d *difference) bool {
	d.different, d.gone = d.different[:0], d.gone[:0]
	k, olds := 0, told.of.count(told.chosen)
	for i := range b.count(chosen) {
		e := b.at(chosen, i)
		for k < olds && told.of.at(told.chosen, k).number < e.number {
			d.gone = append(d.gone, told.of.at(told.chosen, k).number)
			k++
		}
		if k < olds && told.of.at(told.chosen, k).number == e.number {
			if old := told.of.at(told.chosen, k); !e.same(old) {
				d.different = append(d.different, e)
			}
			k++
			continue
		}
		d.different = append(d.different, e)
	}
	for ; k < olds; k++ {
		d.gone = append(d.gone, told.of.at(told.chosen, k).number)
	}
	return len(d.different)+len(d.gone) > 0
}

// wholeFor writes the whole of what is told of those chosen.
func (b *built) wholeFor(chosen []int32) []byte {
	if chosen == nil && b.whole != nil {
		return b.whole
	}
	f := b.frameFor(wire.Stamp{})
	size := len(f.front) + len(f.tail)
	for i := range b.count(chosen) {
		size += len(b.at(chosen, i).text) + 1
	}
	out := append(make([]byte, 0, size), f.front...)
	for i := range b.count(chosen) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, b.at(chosen, i).text...)
	}
	out = append(out, f.tail...)
	if chosen == nil {
		b.whole = out
	}
	return out
}

// changeFor writes what is different for one who holds routes of a stamp. Those who hold all of them are told the same.
func (b *built) changeFor(base wire.Stamp, chosen []int32, d *difference) []byte {
	if text := b.changes[base]; chosen == nil && text != nil {
		return text
	}
	f := b.frameFor(base)
	const number = len(`1023,`)
	size := len(f.front) + len(f.tail) + len(withoutMark) + number*len(d.gone)
	for _, e := range d.different {
		size += len(e.text) + 1
	}
	out := append(make([]byte, 0, size), f.front...)
	for i, e := range d.different {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e.text...)
	}
	if len(d.gone) > 0 {
		out = append(out, withoutMark...)
		for i, n := range d.gone {
			if i > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendInt(out, int64(n), 10)
		}
	}
	out = append(out, f.tail...)
	if chosen == nil {
		if b.changes == nil {
			b.changes = map[wire.Stamp][]byte{}
		}
		b.changes[base] = out
	}
	return out
}

// instancesMark is where the instances go in a message without any, withoutMark what comes between them and the numbers of those that went.
const (
	instancesMark = `"instances":[`
	withoutMark   = `],"without":[`
)

// frameFor returns what is around the instances of a message to those who hold routes of the stamp base; of a zero one, of the whole.
func (b *built) frameFor(base wire.Stamp) frame {
	if f, ok := b.frames[base]; ok {
		return f
	}
	m := b.head
	if !base.IsZero() {
		m = wire.NetRoutes{ServiceID: b.service, Instances: []wire.RouteInstance{}, Base: base}
	}
	m.Header = wire.NewHeader(b.stamp)
	text := encode(m)
	at := bytes.Index(text, []byte(instancesMark)) + len(instancesMark)
	if b.frames == nil {
		b.frames = map[wire.Stamp]frame{}
	}
	f := frame{text[:at:at], text[at:]}
	b.frames[base] = f
	return f
}
