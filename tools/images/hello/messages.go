// SPDX-License-Identifier: Apache-2.0

package hello

import "time"

// TrailerRetransmits is the HTTP trailer in which the server tells how many segments of a download it sent again.
const TrailerRetransmits = "Oak-Retransmits"

// Greeting is the server's answer to GET /: who it is and whom it sees.
type Greeting struct {
	Instance string `json:"instance"`
	// Peer is the caller's ADDRESS:PORT as the server sees it.
	Peer string `json:"peer"`
}

// Echo is the server's answer to a datagram.
type Echo struct {
	Greeting
	// Arrival is the place, from 0, of the datagram among those of its sender.
	Arrival int `json:"arrival"`
	// Payload is what the datagram held.
	Payload string `json:"payload"`
}

// GetReport is what "hello-client get" and "rate" have seen: one new connection a request.
type GetReport struct {
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Instances counts the answers of each instance, Peers those that saw the client under each address.
	Instances map[string]int `json:"instances"`
	Peers     map[string]int `json:"peers"`
	// Order is the answering instance of each request, of at most the first 1000.
	Order []string `json:"order,omitempty"`
	// Errors are the first few.
	Errors []string `json:"errors,omitempty"`
	// SlowestMS is the longest time that a request took, in milliseconds.
	SlowestMS float64 `json:"slowest_ms"`
}

// DownloadReport is what "hello-client download" has seen of one long answer.
type DownloadReport struct {
	Instance string  `json:"instance"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
	// LongestGapMS is the longest time between two reads, in milliseconds.
	LongestGapMS float64 `json:"longest_gap_ms"`
	Retransmits  int     `json:"retransmits"`
}

// BurstReport is what "hello-client udp-burst" has seen of datagrams sent back to back.
type BurstReport struct {
	Sent     int `json:"sent"`
	Received int `json:"received"`
	// Misplaced counts datagrams that reached the server out of the order in which they were sent.
	Misplaced int            `json:"misplaced"`
	Instances map[string]int `json:"instances"`
	Peers     map[string]int `json:"peers"`
}

// PingReport is what "hello-client ping" has seen.
type PingReport struct {
	Sent     int     `json:"sent"`
	Received int     `json:"received"`
	MeanMS   float64 `json:"mean_ms"`
}

// LookupReport is what "hello-client lookup" has seen.
type LookupReport struct {
	// Server and Search are what the container's resolv.conf names.
	Server string   `json:"server"`
	Search []string `json:"search,omitempty"`
	// Rcode is the answer's code, such as NXDOMAIN, Answers the data of its records.
	Rcode   string   `json:"rcode"`
	Answers []string `json:"answers,omitempty"`
	// Failed counts lookups that had no answer before this one; At is when the answer came, MS how long it took.
	Failed int       `json:"failed"`
	At     time.Time `json:"at"`
	MS     float64   `json:"ms"`
}
