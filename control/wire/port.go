// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"slices"
)

// Protocols of exposed ports.
const (
	ProtocolTCP = "tcp"
	ProtocolUDP = "udp"
)

// Port is one exposed port of a service.
type Port struct {
	Host      uint16 `json:"host"`
	Container uint16 `json:"container"`
	// Protocol is "tcp" or "udp".
	Protocol string `json:"protocol"`
}

// String returns the port as descriptors write it.
func (p Port) String() string { return fmt.Sprintf("%d:%d/%s", p.Host, p.Container, p.Protocol) }

// SameHost reports whether p and q cannot both be exposed by one worker.
func (p Port) SameHost(q Port) bool { return p.Host == q.Host && p.Protocol == q.Protocol }

// HostPorts are ports of one host, each list rising.
type HostPorts struct {
	TCP []uint16 `json:"tcp,omitempty"`
	UDP []uint16 `json:"udp,omitempty"`
}

// Has reports whether the host port of p is among h.
func (h HostPorts) Has(p Port) bool {
	list := h.TCP
	if p.Protocol == ProtocolUDP {
		list = h.UDP
	}
	_, found := slices.BinarySearch(list, p.Host)
	return found
}
