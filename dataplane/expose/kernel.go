// SPDX-License-Identifier: Apache-2.0

package expose

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Kernel is the programs that lead callers outside, and containers, to exposed ports.
type Kernel struct {
	Maps *bpf.Maps
	// Uplink returns the interface that callers outside are behind; 0 while there is none.
	Uplink func() int
}

// Expose makes the maps say own and list. What is right already is not touched; what goes, goes first.
func (k Kernel) Expose(own []netip.Addr, list []Exposure) error {
	addrs := make(map[bpf.Addr]uint32, len(own))
	for _, a := range own {
		addrs[bpf.AddrFrom(a)] = 1
	}
	ports := make(map[bpf.Port]bpf.Exposed, len(list))
	var errs []error
	for _, e := range list {
		to, err := k.target(e)
		if err != nil {
			errs = append(errs, fmt.Errorf("expose port %s: %w", e.Port, err))
			continue
		}
		ports[bpf.Port{Port: e.Host, Proto: protocolOf(e.Port)}] = to
	}
	return errors.Join(append(errs, settle(k.Maps.Exposed, ports), settle(k.Maps.OwnAddrs, addrs))...)
}

// target is what programs have to know of the instance behind a port.
func (k Kernel) target(e Exposure) (bpf.Exposed, error) {
	for _, a := range []netip.Addr{e.NamespaceIP, e.NamespaceIPv6} {
		if !a.IsValid() {
			continue
		}
		ifindex, ok, err := k.Maps.Local.Lookup(bpf.AddrFrom(a))
		if err != nil {
			return bpf.Exposed{}, err
		}
		if ok {
			return bpf.Exposed{Ifindex: ifindex, Uplink: uint32(k.Uplink()), Port: networkOrder(e.Container)}, nil
		}
	}
	return bpf.Exposed{}, errors.New("its instance is not attached")
}

// networkOrder returns a port as packets hold it.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

func protocolOf(p wire.Port) uint8 {
	if p.Protocol == wire.ProtocolUDP {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

// settle makes a map hold exactly the wanted entries.
func settle[K, V comparable](table bpf.Table[K, V], want map[K]V) error {
	var err error
	have := maps.Collect(table.All(&err))
	if err != nil {
		return err
	}
	for key := range have {
		if _, ok := want[key]; !ok {
			err = errors.Join(err, table.Delete(key))
		}
	}
	for key, v := range want {
		if was, ok := have[key]; !ok || was != v {
			err = errors.Join(err, table.Put(key, v))
		}
	}
	return err
}
