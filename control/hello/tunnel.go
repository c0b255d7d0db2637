// SPDX-License-Identifier: Apache-2.0

package hello

import (
	"bytes"
	"errors"
)

// TunnelLen is the length of the tunnel header, VXLAN-GPE, that comes between UDP and a hello.
const TunnelLen = 8

// tunnelHeader is that of hellos: VNI and next protocol are there, the protocol is hello's, the VNI is none.
var tunnelHeader = []byte{0x0c, 0, 0, 0xfe, 0, 0, 0, 0} //nolint:gochecknoglobals // a constant, were there such of slices

var errNoHello = errors.New("not a hello behind a tunnel header")

// Tunneled returns the body of a UDP datagram to a tunnel's port.
func Tunneled(signed []byte) []byte {
	return append(append(make([]byte, 0, TunnelLen+len(signed)), tunnelHeader...), signed...)
}

// Untunneled returns what comes after the tunnel header in the body of a UDP datagram.
func Untunneled(body []byte) ([]byte, error) {
	signed, ok := bytes.CutPrefix(body, tunnelHeader)
	if !ok {
		return nil, errNoHello
	}
	return signed, nil
}
