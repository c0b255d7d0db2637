// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Kind is a sort of traffic.
type Kind string

// The kinds of traffic.
const (
	// Bulk is one TCP stream as fast as it goes; the unit is a byte received.
	Bulk Kind = "bulk"
	// Request is 64 bytes there and back over one TCP connection, one at a time; the unit is an exchange.
	Request Kind = "request"
	// Connect is a TCP connection for each such exchange, closed after it; the unit is a connection.
	Connect Kind = "connect"
	// UDP is one flow of datagrams of 64 bytes as fast as they go; the unit is a datagram received.
	UDP Kind = "udp"
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Bulk, Request, Connect, UDP} }

// Port is where a server takes that kind of traffic.
func (k Kind) Port() uint16 { return 5001 + uint16(max(k.index(), 0)) }

func (k Kind) index() int { return slices.Index(Kinds(), k) }

// message is the size of a request, an answer and a datagram, in bytes.
const message = 64

// bulkBuffer is what one system call of a bulk stream takes, in bytes.
const bulkBuffer = 128 << 10

// Server is what a server process is told.
type Server struct {
	// Namespaces are paths of the network namespaces to listen in; "" is the process's own.
	Namespaces []string `json:"namespaces"`
	// Kind is what is served.
	Kind Kind `json:"kind"`
	// IPv6 has it listen in that family instead of IPv4.
	IPv6 bool `json:"ipv6"`
	// Streams is how many bulk streams can come to one namespace at a time.
	Streams int `json:"streams"`
	// Counters is the path of the file through which it shares its counts.
	Counters string `json:"counters"`
}

// Client is what a client process is told.
type Client struct {
	Kind Kind `json:"kind"`
	// Targets are taken in turn, one a connection.
	Targets []netip.AddrPort `json:"targets"`
	// Streams is the number of bulk streams.
	Streams int `json:"streams"`
	// Warm is how long traffic runs before it is measured.
	Warm time.Duration `json:"warm"`
	// Time is how long it is measured.
	Time time.Duration `json:"time"`
	// Counters is the path of the server's file.
	Counters string `json:"counters"`
	// Server is the server's process id, Spinner that of the spinner, Softirq that of the kernel's thread.
	Server, Spinner, Softirq int
}

// Result is one measurement.
type Result struct {
	// Units is the work done: see [Kind].
	Units uint64 `json:"units"`
	// Sent is the number of datagrams that were sent, received or not.
	Sent uint64 `json:"sent,omitempty"`
	// Wall is how long it took, CPU the processor time used for it.
	Wall time.Duration `json:"wall"`
	CPU  time.Duration `json:"cpu"`
	// Left is the processor time that nobody wanted, Strangers what others took.
	Left      time.Duration `json:"left"`
	Strangers time.Duration `json:"strangers"`
	// P50 and P99 are how long one unit took, where units come one at a time.
	P50 time.Duration `json:"p50,omitempty"`
	P99 time.Duration `json:"p99,omitempty"`
}

// Cost is the processor time of one unit, in nanoseconds.
func (r Result) Cost() float64 { return float64(r.CPU) / float64(r.Units) }

// Rate is the units of one second.
func (r Result) Rate() float64 { return float64(r.Units) / r.Wall.Seconds() }

func (c Client) check() error {
	switch {
	case c.Kind.index() < 0:
		return fmt.Errorf("kind %q is none of %v", c.Kind, Kinds())
	case len(c.Targets) == 0:
		return fmt.Errorf("no target")
	case c.Streams < 1 || c.Streams > maxStreams:
		return fmt.Errorf("%d streams: want 1 to %d", c.Streams, maxStreams)
	}
	return nil
}

// maxStreams bounds a client's streams and a server's threads of one kind in one namespace.
const maxStreams = 16
