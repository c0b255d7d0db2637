// SPDX-License-Identifier: Apache-2.0

package expose

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// procNet shows the network namespace of the thread that opens its files.
const procNet = "/proc/thread-self/net"

// States of sockets in procNet. An unconnected UDP socket is "closed".
const (
	stateListen      = "0A"
	stateUnconnected = "07"
)

// socket is one that takes packets of anybody to a port.
type socket struct {
	protocol string
	addr     netip.AddrPort
}

// sockets returns the TCP sockets that listen and the UDP sockets that are not connected.
func sockets() ([]socket, error) {
	var out []socket
	for _, table := range []struct{ file, protocol, state string }{
		{"tcp", wire.ProtocolTCP, stateListen}, {"tcp6", wire.ProtocolTCP, stateListen},
		{"udp", wire.ProtocolUDP, stateUnconnected}, {"udp6", wire.ProtocolUDP, stateUnconnected},
	} {
		f, err := os.Open(filepath.Join(procNet, table.file))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("list sockets of the host: %w", err)
		}
		addrs, err := parseSockets(f, table.state, table.protocol == wire.ProtocolTCP)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("list sockets of the host: %s: %w", table.file, err)
		}
		for _, a := range addrs {
			out = append(out, socket{table.protocol, a})
		}
	}
	return out, nil
}

// parseSockets returns the local addresses of the sockets in a state. With first, those in the state come before all others, and
// the rest, which may be long, is not read.
func parseSockets(r io.Reader, state string, first bool) (out []netip.AddrPort, err error) {
	lines := bufio.NewScanner(r)
	lines.Scan() // the heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			return nil, fmt.Errorf("line %q has fewer than four fields", lines.Text())
		}
		if fields[3] != state {
			if first {
				return out, nil
			}
			continue
		}
		a, err := parseAddrPort(fields[1])
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, lines.Err()
}

// parseAddrPort reads ADDRESS:PORT in hexadecimal digits, the address in words of four bytes in the host's order.
func parseAddrPort(s string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(address)
	p, errPort := strconv.ParseUint(port, 16, 16)
	if err != nil || errPort != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address and port", s)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}

// covers reports whether the socket takes packets to one of the host's own addresses. One on loopback, or on the address of a
// container's bridge, does not.
func (s socket) covers(own []netip.Addr) bool {
	a := s.addr.Addr()
	return a.IsUnspecified() || slices.Contains(own, a.WithZone(""))
}
