// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"crypto/sha256"
	"fmt"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// record is what the state folder holds of one endpoint.
type record struct {
	wire.LocalEndpoint
	Namespace nsID `json:"namespace_id"`
}

// state is the content of the state file.
type state struct {
	Endpoints []record `json:"endpoints"`
	Freed     []freed  `json:"freed"`
}

// entry is an endpoint as it runs: its record and what the kernel gave it.
type entry struct {
	record
	ifindex int
	mac     [6]byte // inside
	hostMAC [6]byte
}

// interfaceName names the host side of an endpoint's veth: the same for the same generation of an instance, so that what a
// crash left half made is found.
func interfaceName(key wire.InstanceKey, g wire.Generation) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s", key, g))
	return fmt.Sprintf("%s%x", namePrefix, sum[:5])
}

// Interfaces of containers begin with namePrefix and carry an alias that begins with aliasPrefix.
const (
	namePrefix  = "oak-c"
	aliasPrefix = "oakestra "
	innerName   = "eth0"
)

func (e *entry) alias() string {
	return fmt.Sprintf("%s%s %s", aliasPrefix, e.InstanceKey, e.Generation)
}

// mapEntry is the endpoint as programs see it.
func (e *entry) mapEntry() (bpf.Endpoint, error) {
	service, err := bpf.ParseID(e.ServiceID)
	if err != nil {
		return bpf.Endpoint{}, err
	}
	out := bpf.Endpoint{
		Generation: e.Generation.Packed(),
		Ifindex:    uint32(e.ifindex),
		Tag:        e.Tag,
		Number:     uint32(e.Number),
		Service:    service,
		Mac:        e.mac,
		HostMac:    e.hostMAC,
	}
	out.Ns[bpf.V4], out.Ns[bpf.V6] = bpf.AddrFrom(e.NamespaceIP), bpf.AddrFrom(e.NamespaceIPv6)
	out.Inst[bpf.V4], out.Inst[bpf.V6] = bpf.AddrFrom(e.InstanceIP), bpf.AddrFrom(e.InstanceIPv6)
	return out, nil
}

// addresses are the endpoint's own on this worker.
func (e *entry) addresses() []netip.Addr {
	out := []netip.Addr{e.NamespaceIP}
	if e.NamespaceIPv6.IsValid() {
		out = append(out, e.NamespaceIPv6)
	}
	return out
}
