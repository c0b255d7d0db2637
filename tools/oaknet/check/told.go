// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// tooBigError is what a router has said that it carries, of an echo that it did not pass on.
type tooBigError int

func (e tooBigError) Error() string { return fmt.Sprintf("a router carries %d bytes", int(e)) }

// told returns what a router says that it carries, in an ICMP message about the last echo; 0 if it is another message.
func (e *echo) told(message []byte) int {
	const head = 8 // of ICMP
	header, ok := 20, len(message) >= head && message[0] == byte(ipv4.ICMPTypeDestinationUnreachable) && message[1] == 4
	if e.six {
		header, ok = 40, len(message) >= head && message[0] == byte(ipv6.ICMPTypePacketTooBig)
	}
	if !ok || len(message) < head+header+head {
		return 0
	}
	quoted := message[head:]
	protocol, to, mtu := quoted[9], quoted[16:20], int(binary.BigEndian.Uint16(message[6:]))
	if e.six {
		protocol, to, mtu = quoted[6], quoted[24:40], int(binary.BigEndian.Uint32(message[4:]))
	}
	sent := quoted[header:]
	ours := string(to) == string(e.to.IP) && (protocol == unix.IPPROTO_ICMP || protocol == unix.IPPROTO_ICMPV6) &&
		binary.BigEndian.Uint16(sent[4:]) == e.id && binary.BigEndian.Uint16(sent[6:]) == e.next
	if !ours {
		return 0
	}
	return mtu
}
