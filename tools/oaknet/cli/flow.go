// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) flowCommand() *cobra.Command {
	type row = inspect.Flow
	var filter flowFilter
	cmd := listing[row]{
		name: "flow", short: "List flows: who talks to whom, translated how",
		long: `Lists flows, both directions in one line. SOURCE and DESTINATION are those of the opener's packets as they reach this worker,
TRANSLATED is the instance that was chosen. PEER is the other worker's index, - of a local flow. TX is from the opener, RX towards
it. An echo's SOURCE carries its identifier in place of a port.

--src and --dst mean the opener's side and the other, in either form; --sort -rx-bytes --limit 10 gives the ten largest.

States: syn-sent, syn-received, established, closing, closed of TCP; new (one way so far) or assured of UDP and ICMP.`,
		columns: flowColumns(),
		read: func(r *inspect.Reader) ([]row, error) {
			if err := filter.check(); err != nil {
				return nil, err
			}
			flows, err := r.Flows()
			return slices.DeleteFunc(flows, func(f row) bool { return !filter.takes(f) }), err
		},
		keys: func(f row) []string {
			return []string{f.WorkerID, f.ServiceID, text(f.Source), text(f.Destination), text(f.TranslatedSource), text(f.TranslatedDestination)}
		},
	}.command(p)
	filter.addFlags(p, cmd)
	return cmd
}

func flowColumns() []output.Column[inspect.Flow] {
	type row = inspect.Flow
	return []output.Column[row]{
		{Name: "PROTO", Value: func(f row) string { return f.Protocol }},
		{Name: "SOURCE", Value: func(f row) string { return addrPort(f.Source, f.SourcePort+f.ICMPID) }},
		{Name: "DESTINATION", Value: func(f row) string { return addrPort(f.Destination, f.DestinationPort) }},
		{Name: "TRANSLATED", Value: func(f row) string { return addrPort(f.TranslatedDestination, f.TranslatedDestinationPort) }},
		{Name: "PEER", Value: func(f row) string { return index(f.Peer) }},
		{Name: "STATE", Value: func(f row) string { return f.State }},
		{Name: "AGE", Value: func(f row) string { return age(f.Age) }, By: func(f row) float64 { return f.Age }},
		{Name: "IDLE", Value: func(f row) string { return age(f.Idle) }, By: func(f row) float64 { return f.Idle }},
		{Name: "TX-PACKETS", Value: func(f row) string { return number(f.TxPackets) }},
		{Name: "TX-BYTES", Value: func(f row) string { return number(f.TxBytes) }},
		{Name: "RX-PACKETS", Value: func(f row) string { return number(f.RxPackets) }},
		{Name: "RX-BYTES", Value: func(f row) string { return number(f.RxBytes) }},
		{Name: "DIRECTION", Wide: true, Value: func(f row) string { return f.Direction }},
		{Name: "AS", Wide: true, Value: func(f row) string { return addrPort(f.TranslatedSource, f.TranslatedSourcePort) }},
		{Name: "WORKER", Wide: true, Value: func(f row) string { return f.WorkerID }},
		{Name: "SERVICE", Wide: true, Value: func(f row) string { return f.ServiceID }},
		{Name: "NUMBER", Wide: true, Value: func(f row) string { return number(f.Number) }},
		{Name: "TAG", Wide: true, Value: func(f row) string { return number(f.Tag) }},
		{Name: "MISSING", Wide: true, Value: func(f row) string { return f.Missing }},
	}
}

func addrPort(a netip.Addr, port uint16) string {
	switch {
	case !a.IsValid():
		return ""
	case port == 0:
		return a.String()
	}
	return netip.AddrPortFrom(a, port).String()
}
