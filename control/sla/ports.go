// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// maxPorts is how many ports a service may expose.
const maxPorts = 128

// Ports returns the exposed ports of [Microservice.Port]: HOST[:CONTAINER][/tcp|/udp], joined by semicolons. The container
// port is the host port unless given, the protocol tcp. The error says which part is wrong; it is nil after [Parse].
func (m *Microservice) Ports() ([]wire.Port, error) { return parsePorts(m.Port) }

func parsePorts(s string) ([]wire.Port, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var out []wire.Port
	for part := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(s), ";"), ";") {
		p, err := parsePort(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		for _, q := range out {
			if q.Host == p.Host && q.Protocol == p.Protocol {
				return nil, fmt.Errorf("host port %d/%s is there twice", p.Host, p.Protocol)
			}
		}
		if len(out) == maxPorts {
			return nil, fmt.Errorf("more than %d ports", maxPorts)
		}
		out = append(out, p)
	}
	return out, nil
}

func parsePort(s string) (wire.Port, error) {
	ports, protocol, given := strings.Cut(s, "/")
	if !given {
		protocol = "tcp"
	}
	protocol = strings.ToLower(protocol)
	if protocol != "tcp" && protocol != "udp" {
		return wire.Port{}, fmt.Errorf("%q has protocol %q, expected tcp or udp", clip(s), clip(protocol))
	}
	host, container, given := strings.Cut(ports, ":")
	if !given {
		container = host
	}
	h, errH := strconv.ParseUint(host, 10, 16)
	c, errC := strconv.ParseUint(container, 10, 16)
	if errH != nil || errC != nil || h == 0 || c == 0 {
		return wire.Port{}, fmt.Errorf("%q is not HOST[:CONTAINER][/tcp|/udp] with ports from 1 to 65535", clip(s))
	}
	if owner := semantic.PlatformPort(uint16(h)); owner != "" {
		return wire.Port{}, fmt.Errorf("host port %d is reserved for %s: choose another", h, owner)
	}
	return wire.Port{Host: uint16(h), Container: uint16(c), Protocol: protocol}, nil
}
