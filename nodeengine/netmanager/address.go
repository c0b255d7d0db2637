// SPDX-License-Identifier: Apache-2.0

package netmanager

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// DefaultSocket is where NetManager's local API is, unless it was told otherwise.
const DefaultSocket = "/run/oakestra/netmanager.sock"

// DefaultTokenFile is where the NetManager of a worker of that name writes the token of its API on a port.
func DefaultTokenFile(worker string, port uint16) string {
	return fmt.Sprintf("/run/oakestra/netmanager-%s-%d.token", worker, port)
}

const dialTimeout = 2 * time.Second

// Address is where NetManager's local API is.
type Address struct {
	// Socket is the path of a Unix socket; if it is empty, Port is one of loopback, and what is read from TokenFile is sent along.
	Socket    string
	Port      uint16
	TokenFile string
}

// ParseAddress reads a port of loopback, or the path of a Unix socket. It says nothing of the token.
func ParseAddress(s string) (Address, error) {
	if filepath.IsAbs(s) {
		return Address{Socket: s}, nil
	}
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port == 0 {
		return Address{}, fmt.Errorf("%q is neither a port from 1 to 65535 nor the absolute path of a Unix socket", s)
	}
	return Address{Port: uint16(port)}, nil
}

func (a Address) String() string {
	if a.Socket != "" {
		return a.Socket
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(a.Port)))
}

func (a Address) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	network := "tcp"
	if a.Socket != "" {
		network = "unix"
	}
	return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, a.String())
}

// sign proves to the API on TCP who asks. NetManager draws a new token at each start, so it is read anew each time.
func (a Address) sign(req *http.Request) error {
	if a.Socket != "" {
		return nil
	}
	token, err := os.ReadFile(a.TokenFile)
	if err != nil {
		return fmt.Errorf("read the token of NetManager's API on port %d: %w: is NetManager running with -p %d?", a.Port, err, a.Port)
	}
	req.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	return nil
}
