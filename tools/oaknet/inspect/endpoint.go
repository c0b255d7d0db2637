// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Endpoint is one instance that is attached to this worker's overlay.
type Endpoint struct {
	// Ifindex is the number of the host side of its veth in the worker's network namespace.
	Ifindex uint32 `json:"ifindex"`
	// Interface is its name; empty where it is in another network namespace than this process.
	Interface  string `json:"interface"`
	ServiceID  string `json:"service_id"`
	Number     uint32 `json:"instance_number"`
	Generation string `json:"generation"` // "PLACEMENT.MOVE"
	InstanceAddresses
	// Tag is the VNI of all flows that others open to it.
	Tag uint32 `json:"tag"`
	// MAC is the address inside, HostMAC that of the host side.
	MAC     string `json:"mac"`
	HostMAC string `json:"host_mac"`
	// Host says that it is no instance but the worker's own host, by which processes of the host call services.
	Host bool `json:"host,omitempty"`
	// Ports are those of the worker under which the outside reaches it, as the descriptor writes them: HOST:CONTAINER/PROTOCOL.
	Ports []string `json:"ports,omitempty"`
	// Attached says that the interface carries the container program.
	Attached bool `json:"attached"`
}

// Endpoints lists all endpoints by interface number.
func (r *Reader) Endpoints() ([]Endpoint, error) {
	found, err := r.endpoints()
	if err != nil {
		return nil, err
	}
	ports, err := r.ports()
	if err != nil {
		return nil, err
	}
	out := make([]Endpoint, 0, len(found))
	for ifindex, e := range found {
		out = append(out, Endpoint{
			Ifindex: ifindex, Interface: r.names[ifindex], ServiceID: bpf.FormatID(e.Service), Number: e.Number,
			Generation: generation(e.Generation), InstanceAddresses: instanceAddresses(e.Ns, e.Inst), Tag: e.Tag,
			MAC: mac(e.Mac), HostMAC: mac(e.HostMac), Attached: r.attached(ifindex), Host: e.Flags&bpf.EndpointHost != 0,
			Ports: ports[ifindex],
		})
	}
	slices.SortFunc(out, func(a, b Endpoint) int { return cmp.Compare(a.Ifindex, b.Ifindex) })
	return out, nil
}

// ports lists the exposed ports by the endpoint behind them.
func (r *Reader) ports() (map[uint32][]string, error) {
	type exposed struct {
		bpf.Port
		bpf.Exposed
	}
	var list []exposed
	var err error
	for k, v := range r.maps.Exposed.All(&err) {
		list = append(list, exposed{k, v})
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b exposed) int {
		return cmp.Or(cmp.Compare(a.Port.Port, b.Port.Port), cmp.Compare(a.Proto, b.Proto))
	})
	out := map[uint32][]string{}
	for _, e := range list {
		out[e.Ifindex] = append(out[e.Ifindex], fmt.Sprintf("%d:%d/%s", e.Port.Port, hostPort(e.Exposed.Port), protocolName(e.Proto)))
	}
	return out, nil
}
