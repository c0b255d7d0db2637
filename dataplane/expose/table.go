// SPDX-License-Identifier: Apache-2.0

package expose

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// ErrTaken means that this worker cannot expose a port, while another one may be able to.
var ErrTaken = errors.New("host port is taken")

// ErrInvalid means that no worker can expose a port.
var ErrInvalid = errors.New("invalid port")

// Exposure is one port of the worker and the instance behind it.
type Exposure struct {
	wire.InstanceKey
	wire.Port
	// NamespaceIP and NamespaceIPv6 are the instance's; either may be missing.
	NamespaceIP, NamespaceIPv6 netip.Addr
}

// Programs is what leads packets to exposed ports.
type Programs interface {
	// Expose makes own the host's own addresses, and list all that is exposed on them. What is right already is not touched.
	Expose(own []netip.Addr, list []Exposure) error
}

// Config is what a [Table] works with.
type Config struct {
	// StateFile is where it is kept which ports are reserved on the table's behalf.
	StateFile string
	// Endpoints returns all local endpoints.
	Endpoints func() []wire.LocalEndpoint
	// Own returns the addresses on which ports are exposed: those of the uplink.
	Own func() []netip.Addr
	// Blocked returns ports that are the platform's on this worker, whether or not a socket listens on them.
	Blocked func() wire.HostPorts
	// Programs are told of every change.
	Programs []Programs
	Log      *slog.Logger
}

// Table is the ports of one worker. Its methods may be used concurrently.
type Table struct {
	cfg Config

	mu       sync.Mutex
	reserved *reservation
	claims   map[slot]claim
	held     map[slot]Exposure
	clashes  map[slot]struct{} // ports on which a process listens although they are exposed
}

// slot is what can be given out once.
type slot struct {
	port     uint16
	protocol string
}

func slotOf(p wire.Port) slot { return slot{p.Host, p.Protocol} }

// claim holds a port for an instance that is being attached.
type claim struct {
	key wire.InstanceKey
	n   int // callers
}

// Open takes the ports back that a table before this one had reserved. [Table.Settle] makes it say what the endpoints say.
func Open(c Config) (*Table, error) {
	r, err := openReservation(c.StateFile)
	if err != nil {
		return nil, err
	}
	return &Table{cfg: c, reserved: r, claims: map[slot]claim{}, held: map[slot]Exposure{}, clashes: map[slot]struct{}{}}, nil
}

// Claim holds ports for an instance while it is attached, or says why it cannot have them. The caller ends the claim by calling
// done, once the endpoint is attached or has failed to be. Ports that the instance has already are its own, whoever listens.
func (t *Table) Claim(key wire.InstanceKey, list []wire.Port) (done func() error, err error) {
	if len(list) == 0 {
		return func() error { return nil }, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh, err := t.judge(key, list)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		c := t.claims[slotOf(p)]
		t.claims[slotOf(p)] = claim{key, c.n + 1}
	}
	done = sync.OnceValue(func() error { return t.release(list) })
	// Reserved before it is looked who listens: from then on nobody gets one of the ports by chance.
	if err = t.reserve(); err == nil {
		err = t.free(fresh)
	}
	if err != nil {
		t.drop(list)
		return nil, errors.Join(err, t.reserve())
	}
	return done, nil
}

// judge returns those of the ports that the instance does not have yet.
func (t *Table) judge(key wire.InstanceKey, list []wire.Port) (fresh []wire.Port, err error) {
	blocked := t.cfg.Blocked()
	for i, p := range list {
		switch {
		case p.Host == 0 || p.Container == 0 || p.Protocol != wire.ProtocolTCP && p.Protocol != wire.ProtocolUDP:
			return nil, fmt.Errorf("%w: %s: want ports from 1 to 65535, and tcp or udp", ErrInvalid, p)
		case slices.ContainsFunc(list[:i], p.SameHost):
			return nil, fmt.Errorf("%w: host port %d/%s is asked for twice", ErrInvalid, p.Host, p.Protocol)
		}
		owner, has := t.held[slotOf(p)]
		c, claimed := t.claims[slotOf(p)]
		switch {
		case has && owner.InstanceKey != key:
			return nil, fmt.Errorf("%w: %d/%s is exposed for instance %s", ErrTaken, p.Host, p.Protocol, owner.InstanceKey)
		case claimed && c.key != key:
			return nil, fmt.Errorf("%w: %d/%s is about to be exposed for instance %s", ErrTaken, p.Host, p.Protocol, c.key)
		case blocked.Has(p):
			return nil, fmt.Errorf("%w: %d/%s belongs to the overlay on this worker: choose another", ErrTaken, p.Host, p.Protocol)
		case !has:
			fresh = append(fresh, p)
		}
	}
	return fresh, nil
}

// free fails if a process of the host listens on one of the ports.
func (t *Table) free(list []wire.Port) error {
	if len(list) == 0 {
		return nil
	}
	used, err := t.listening()
	if err != nil {
		return err
	}
	for _, p := range list {
		if used.Has(p) {
			return fmt.Errorf("%w: a process of this worker listens on %d/%s: stop it, or choose another port", ErrTaken, p.Host, p.Protocol)
		}
	}
	return nil
}

func (t *Table) release(list []wire.Port) error {
	t.mu.Lock()
	t.drop(list)
	t.mu.Unlock()
	return t.Settle()
}

func (t *Table) drop(list []wire.Port) {
	for _, p := range list {
		c := t.claims[slotOf(p)]
		if c.n--; c.n <= 0 {
			delete(t.claims, slotOf(p))
			continue
		}
		t.claims[slotOf(p)] = c
	}
}

// Settle makes reservations and programs what the endpoints say. Where two endpoints say that a port is theirs, as after a crash,
// the one that has it keeps it.
func (t *Table) Settle() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := map[slot]Exposure{}
	for _, e := range t.cfg.Endpoints() {
		for _, p := range e.Ports {
			before, had := t.held[slotOf(p)]
			if _, twice := next[slotOf(p)]; twice && (!had || before.InstanceKey != e.InstanceKey) {
				t.cfg.Log.Warn("port is not exposed: another instance has it", "port", p.String(), "instance", e.InstanceKey.String())
				continue
			}
			next[slotOf(p)] = Exposure{e.InstanceKey, p, e.NamespaceIP, e.NamespaceIPv6}
		}
	}
	t.held = next
	// Nothing is led to a port before it is reserved, and none is given back before nothing is led to it.
	err := t.reserve()
	list := t.list()
	for _, p := range t.cfg.Programs {
		err = errors.Join(err, p.Expose(t.cfg.Own(), list))
	}
	return err
}

// reserve has all ports reserved that are held or claimed.
func (t *Table) reserve() error {
	want := ports{}
	for s := range t.held {
		want[s.port] = struct{}{}
	}
	for s := range t.claims {
		want[s.port] = struct{}{}
	}
	return t.reserved.set(want)
}

func (t *Table) list() []Exposure {
	out := make([]Exposure, 0, len(t.held))
	for _, e := range t.held {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Exposure) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Protocol, b.Protocol))
	})
	return out
}

// List returns what is exposed, by port.
func (t *Table) List() []Exposure {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list()
}
