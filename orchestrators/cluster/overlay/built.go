// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// maxRoutes is how many instances of one service a worker is told: its own, those that it wants by their Instance IP, and a
// stable choice of the rest.
const maxRoutes = 64

// built are the routes of a service as its facts are now, made once for all who want them.
type built struct {
	stamp wire.Stamp
	// message has all instances, in order; print is its fingerprint without a stamp, encoded what is sent of it. The latter is nil if
	// there are more instances than one worker is told.
	message wire.NetRoutes
	print   string
	encoded []byte
	// instances are the instances as they are written, prints their fingerprints; only if there are more than one worker is told.
	instances [][]byte
	prints    [][sha256.Size]byte
}

// routesOf returns the routes of a service, made anew if its facts have changed.
func (c *Core) routesOf(s *service) *built {
	if s.built != nil {
		return s.built
	}
	own := slices.DeleteFunc(slices.Clone(s.Addresses), func(a wire.ServiceAddress) bool { return !c.owns(s.ID, a.Address) })
	b := &built{message: wire.NetRoutes{ServiceID: s.ID, JobName: s.JobName, Addresses: own, Ports: s.Ports, Instances: []wire.RouteInstance{}}}
	for _, x := range c.routable(s) {
		b.message.Instances = append(b.message.Instances, c.route(s, x))
	}
	slices.SortFunc(b.message.Instances, func(x, y wire.RouteInstance) int { return cmp.Compare(x.Number, y.Number) })
	if len(b.message.Instances) > maxRoutes {
		for i := range b.message.Instances {
			text := encode(b.message.Instances[i])
			b.instances, b.prints = append(b.instances, text), append(b.prints, sha256.Sum256(text))
		}
		head := b.message
		head.Instances = nil
		b.print = fingerprint(encode(head))
	} else {
		b.print = fingerprint(encode(b.message))
	}
	s.built = b
	return b
}

// stampFor stamps the routes, once unless a worker holds such a stamp, or a later one, already.
func (b *built) stampFor(c *Core, held wire.Stamp) {
	if b.stamp.IsZero() || held.Compare(b.stamp) >= 0 {
		b.stamp, b.encoded = c.next(), nil
		b.message.Header = wire.NewHeader(b.stamp)
	}
}

// routesFor returns what w is told of a service, and the fingerprint of that. held is the highest stamp that it may have of it.
func (c *Core) routesFor(w *worker, s *service) (print string, message func(held wire.Stamp) (wire.Stamp, Message)) {
	b := c.routesOf(s)
	to := Message{Worker: w.id, Name: wire.TopicNetRoutes + s.ID}
	chosen := c.choose(w, s)
	if chosen == nil {
		return b.print, func(held wire.Stamp) (wire.Stamp, Message) {
			b.stampFor(c, held)
			if b.encoded == nil {
				b.encoded = encode(b.message)
			}
			to.Payload, to.Encoded = b.message, b.encoded
			return b.stamp, to
		}
	}
	h := sha256.New()
	_, _ = h.Write([]byte(b.print))
	for _, i := range chosen {
		_, _ = h.Write(b.prints[i][:])
	}
	return string(h.Sum(nil)), func(held wire.Stamp) (wire.Stamp, Message) {
		b.stampFor(c, held)
		m := b.message
		m.Instances = []wire.RouteInstance{}
		size := 0
		for _, i := range chosen {
			size += len(b.instances[i]) + 1
		}
		to.Encoded = splice(m, instancesMark, size, func(out []byte) []byte {
			for n, i := range chosen {
				if n > 0 {
					out = append(out, ',')
				}
				out = append(out, b.instances[i]...)
			}
			return out
		})
		m.Instances = pick(b.message.Instances, chosen)
		to.Payload = m
		return b.stamp, to
	}
}

// instancesMark is where the instances go in a message without any.
const instancesMark = `"instances":[`

func pick(all []wire.RouteInstance, chosen []int) []wire.RouteInstance {
	out := make([]wire.RouteInstance, len(chosen))
	for n, i := range chosen {
		out[n] = all[i]
	}
	return out
}

// choose says which routes w is told when there are too many, in order; nil stands for all. The choice of the rest depends on the
// worker and the instance alone, so that the coming and going of one instance moves no other.
func (c *Core) choose(w *worker, s *service) []int {
	all := c.routesOf(s).message.Instances
	if len(all) <= maxRoutes {
		return nil
	}
	type ranked struct {
		rank  uint64
		index int
	}
	wants := func(a netip.Addr) bool { return a.IsValid() && c.wanted[a].has(w.id) }
	seed := hash64([]byte(w.id))
	order := make([]ranked, len(all))
	for i := range all {
		r := &all[i]
		order[i] = ranked{mix(seed ^ mix(uint64(r.Number)+1)), i} //nolint:gosec // any bits will do
		if r.Peer == w.id || wants(r.InstanceIP) || wants(r.InstanceIPv6) {
			order[i].rank = 0
		}
	}
	slices.SortFunc(order, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.index, b.index)) })
	chosen := make([]int, maxRoutes)
	for n := range chosen {
		chosen[n] = order[n].index
	}
	slices.Sort(chosen)
	return chosen
}

// hash64 is FNV-1a: the same in every process, so that a restart changes no choice.
func hash64(text []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range text {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// mix spreads the bits of a number over all of it: the end of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// encode writes what holds nothing that cannot be written.
func encode(m any) []byte {
	text, _ := json.Marshal(m)
	return text
}

// splice writes a message and fills in, behind the mark, what it was left without. size is about how much that is.
func splice(m any, mark string, size int, fill func(out []byte) []byte) []byte {
	text := encode(m)
	at := bytes.Index(text, []byte(mark)) + len(mark)
	out := append(make([]byte, 0, len(text)+size), text[:at]...)
	return append(fill(out), text[at:]...)
}

// fingerprint tells two messages without stamps apart.
func fingerprint(text []byte) string {
	sum := sha256.Sum256(text)
	return string(sum[:])
}
