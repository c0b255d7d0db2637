// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// What rates can be added up by.
const (
	ByService  = "service"
	ByInstance = "instance"
	ByWorker   = "worker"
	ByProtocol = "protocol"
)

// Groupings lists what rates can be added up by.
func Groupings() []string { return []string{ByService, ByInstance, ByWorker, ByProtocol} }

// Rate is what the flows of one service, or of what else they are added up by, have done in a while. Everything is a second's.
type Rate struct {
	// Only what the flows are added up by is set: ServiceID, that and Number, WorkerID, or Protocol. An empty one is of flows whose instance
	// is gone, or that stay on this worker.
	ServiceID string  `json:"service_id"`
	Number    *uint32 `json:"instance_number"`
	WorkerID  string  `json:"worker_id"`
	Protocol  string  `json:"protocol"`
	// Flows is how many there are now.
	Flows  int     `json:"flows"`
	Opened float64 `json:"opened_per_second"`
	Ended  float64 `json:"ended_per_second"`
	// Tx is from the openers, Rx towards them. What a flow did after it was last seen and before it ended is not in it.
	TxPackets float64 `json:"tx_packets_per_second"`
	TxBytes   float64 `json:"tx_bytes_per_second"`
	RxPackets float64 `json:"rx_packets_per_second"`
	RxBytes   float64 `json:"rx_bytes_per_second"`
}

// flowID tells flows of one moment apart.
type flowID struct {
	protocol         string
	source, dest     netip.Addr
	sourcePort, port uint16
	icmpID           uint16
	in               uint32
}

func idOf(f Flow) flowID {
	return flowID{f.Protocol, f.Source, f.Destination, f.SourcePort, f.DestinationPort, f.ICMPID, f.Peer}
}

// Rates compares the flows of two moments; the busiest come first.
func Rates(before, after []Flow, elapsed time.Duration, by string) []Rate {
	was := make(map[flowID]Flow, len(before))
	for _, f := range before {
		was[idOf(f)] = f
	}
	type group struct {
		text   string
		number uint32
	}
	sums := map[group]*Rate{}
	of := func(f Flow) *Rate {
		one := Rate{}
		key := group{}
		switch by {
		case ByWorker:
			one.WorkerID, key.text = f.WorkerID, f.WorkerID
		case ByProtocol:
			one.Protocol, key.text = f.Protocol, f.Protocol
		case ByInstance:
			one.ServiceID, one.Number, key = f.ServiceID, &f.Number, group{f.ServiceID, f.Number}
		default:
			one.ServiceID, key.text = f.ServiceID, f.ServiceID
		}
		if sums[key] == nil {
			sums[key] = &one
		}
		return sums[key]
	}
	a := 1 / max(elapsed, time.Millisecond).Seconds()
	for _, f := range after {
		sum := of(f)
		sum.Flows++
		old, known := was[idOf(f)]
		delete(was, idOf(f))
		if !known || isAnother(old, f) {
			if known {
				sum.Ended += a
			}
			sum.Opened += a
			old = Flow{}
		}
		sum.TxPackets += a * float64(f.TxPackets-old.TxPackets)
		sum.TxBytes += a * float64(f.TxBytes-old.TxBytes)
		sum.RxPackets += a * float64(f.RxPackets-old.RxPackets)
		sum.RxBytes += a * float64(f.RxBytes-old.RxBytes)
	}
	for _, f := range was {
		of(f).Ended += a
	}
	out := make([]Rate, 0, len(sums))
	for _, sum := range sums {
		out = append(out, *sum)
	}
	slices.SortFunc(out, compareRates)
	return out
}

// isAnother reports whether a flow of the same addresses and ports has taken the place of an earlier one.
func isAnother(old, now Flow) bool {
	return now.TxPackets < old.TxPackets || now.RxPackets < old.RxPackets || now.TxBytes < old.TxBytes || now.RxBytes < old.RxBytes
}

func compareRates(a, b Rate) int {
	return cmp.Or(
		cmp.Compare(b.TxBytes+b.RxBytes, a.TxBytes+a.RxBytes), cmp.Compare(b.Flows, a.Flows),
		strings.Compare(a.ServiceID, b.ServiceID), strings.Compare(a.WorkerID, b.WorkerID), strings.Compare(a.Protocol, b.Protocol),
		cmp.Compare(deref(a.Number), deref(b.Number)),
	)
}

func deref(n *uint32) uint32 {
	if n == nil {
		return 0
	}
	return *n
}
