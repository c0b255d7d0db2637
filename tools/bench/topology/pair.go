// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
)

// Place is where the servers are, as the client sees it.
type Place string

// The places.
const (
	// Other is another worker.
	Other Place = "other"
	// Same is the client's own worker.
	Same Place = "same"
)

// Uplink is the name of the device towards the other worker.
const Uplink = "up0"

// UnderlayMTU is that of Ethernet.
const UnderlayMTU = 1500

// Pair is two workers on an underlay.
type Pair struct {
	// Name begins the names of its namespaces.
	Name string
	Lab  *lab.Lab
	// A is the worker with the client, B the other one.
	A, B *lab.Namespace
	// Client is where the client runs.
	Client *lab.Namespace
	// Servers are where servers run.
	Servers map[Place][]*lab.Namespace
	// attached keeps programs where they are.
	attached []io.Closer
}

// Outer is the address of a worker on the underlay, 0 being A's.
func Outer(worker int, ipv6 bool) netip.Addr {
	if ipv6 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", worker+1))
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(worker + 1)})
}

// NewPair makes two workers and the underlay between them. The workers route.
func NewPair(l *lab.Lab, name string) (*Pair, error) {
	p := &Pair{Name: name, Lab: l, Servers: map[Place][]*lab.Namespace{}}
	var err error
	if p.A, err = l.Namespace(name + "-a"); err != nil {
		return nil, err
	}
	if p.B, err = l.Namespace(name + "-b"); err != nil {
		return nil, err
	}
	if err := lab.Cable(p.A, Uplink, p.B, Uplink, UnderlayMTU); err != nil {
		return nil, err
	}
	for i, w := range []*lab.Namespace{p.A, p.B} {
		err := w.Links(func(h *netlink.Handle) error {
			return errors.Join(lab.AddAddress(h, Uplink, netip.PrefixFrom(Outer(i, false), 24)),
				lab.AddAddress(h, Uplink, netip.PrefixFrom(Outer(i, true), 64)))
		})
		if err != nil {
			return nil, err
		}
		err = errors.Join(w.Sysctl("net/ipv4/ip_forward", "1"), w.Sysctl("net/ipv6/conf/all/forwarding", "1"))
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Container makes an empty namespace for one, as a container runtime does.
func (p *Pair) Container(name string) (*lab.Namespace, error) {
	return p.Lab.Namespace(p.Name + "-" + name)
}

// Tune has a client's namespace open connections for as long as a run takes: the ports of those that ended in the last minute would
// be used up otherwise, and the search for a free one is what would be measured.
func Tune(client *lab.Namespace) error {
	return errors.Join(client.Sysctl("net/ipv4/ip_local_port_range", "1024 65535"), client.Sysctl("net/ipv4/tcp_tw_reuse", "1"))
}

// withoutOffload is what a plain network card does not do for the kernel. Receive offload stays: it is the kernel's own work on any card.
func withoutOffload() map[string]bool {
	return map[string]bool{
		"tx-checksum-ip-generic": false, "tx-generic-segmentation": false, "tx-tcp-segmentation": false, "tx-tcp6-segmentation": false,
		"tx-tcp-ecn-segmentation": false, "tx-tcp-mangleid-segmentation": false, "tx-udp-segmentation": false,
		"tx-udp_tnl-segmentation": false, "tx-udp_tnl-csum-segmentation": false, "rx-gro": true,
	}
}

// SetOffloads turns the offloads of both uplinks on or off and returns what they are then.
func (p *Pair) SetOffloads(on bool) (map[string]bool, error) {
	change := withoutOffload()
	if on {
		for name := range change {
			change[name] = name != "rx-gro" // as a veth comes
		}
	}
	now, err := p.A.Features(Uplink, change)
	if err != nil {
		return nil, err
	}
	_, err = p.B.Features(Uplink, change)
	return now, err
}

// IsOffload reports whether a device's feature is one that [Pair.SetOffloads] changes.
func IsOffload(feature string) bool {
	_, ok := withoutOffload()[feature]
	return ok
}
