// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// flowFilter chooses flows; an empty field takes all.
type flowFilter struct {
	service, proto, state, node string
}

func protocols() []string { return []string{"tcp", "udp", "icmp"} }

func flowStates() []string {
	return []string{"syn-sent", "syn-received", "established", "closing", "closed", "new", "assured"}
}

func (f flowFilter) check() error {
	if f.proto != "" && !slices.Contains(protocols(), f.proto) {
		return cmdline.Usagef("unknown protocol %q in --proto: use %s", f.proto, strings.Join(protocols(), ", "))
	}
	if f.state != "" && !slices.Contains(flowStates(), f.state) {
		return cmdline.Usagef("unknown state %q in --state: use %s", f.state, strings.Join(flowStates(), ", "))
	}
	if _, err := netip.ParseAddr(f.service); f.service != "" && err != nil && !isHex(f.service) {
		return cmdline.Usagef("--service %q is neither an address nor a service id", f.service)
	}
	return nil
}

func isHex(s string) bool { return len(s) <= 24 && strings.Trim(s, "0123456789abcdef") == "" }

func (f flowFilter) takes(flow inspect.Flow) bool {
	if f.service != "" {
		addr, err := netip.ParseAddr(f.service)
		if err == nil && addr.Unmap() != flow.Destination || err != nil && !means(f.service, flow.ServiceID) {
			return false
		}
	}
	return (f.proto == "" || f.proto == flow.Protocol) && (f.state == "" || f.state == flow.State) &&
		(f.node == "" || means(f.node, flow.WorkerID) || flow.Peer != 0 && f.node == number(flow.Peer))
}

func (p *program) flowCommand() *cobra.Command {
	type row = inspect.Flow
	var filter flowFilter
	cmd := listing[row]{
		name: "flow", short: "List flows: who talks to whom, translated how",
		long: `Lists flows, both directions in one line. SOURCE and DESTINATION are those of the opener's packets as they reach this worker,
TRANSLATED is the instance that was chosen. PEER is the other worker's index, - of a local flow. TX is from the opener, RX towards
it. An echo's SOURCE carries its identifier in place of a port.

States: syn-sent, syn-received, established, closing, closed of TCP; new (one way so far) or assured of UDP and ICMP.`,
		columns: []output.Column[row]{
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
		},
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
	flags := cmd.PersistentFlags()
	flags.StringVar(&filter.service, "service", "", "only flows to this service address or Instance IP, or to instances of this service id")
	flags.StringVar(&filter.proto, "proto", "", "only this protocol: tcp, udp or icmp")
	flags.StringVar(&filter.state, "state", "", "only flows in this state")
	flags.StringVar(&filter.node, "node", "", "only flows with this other worker: its id or index")
	must(cmd.RegisterFlagCompletionFunc("proto", cobra.FixedCompletions(protocols(), cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(flowStates(), cobra.ShellCompDirectiveNoFileComp)))
	return cmd
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
