// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// flowFilter chooses flows; an empty field takes all.
type flowFilter struct {
	service, node  string
	protos, states []string
	from, to       string
	port           uint16

	src, dst side
}

func protocols() []string { return []string{"tcp", "udp", "icmp"} }

func flowStates() []string {
	return []string{"syn-sent", "syn-received", "established", "closing", "closed", "new", "assured"}
}

// addFlags adds the filter's flags to a command and those below it.
func (f *flowFilter) addFlags(p *program, cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.service, "service", "", "only flows to this service address or Instance IP, or to instances of this service id")
	flags.StringSliceVar(&f.protos, "proto", nil, "only these protocols: tcp, udp, icmp")
	flags.StringSliceVar(&f.states, "state", nil, "only flows in these states")
	flags.StringVar(&f.node, "node", "", "only flows with this other worker: its id or index")
	flags.StringVar(&f.from, "src", "", "only flows opened from ADDRESS, PREFIX, ADDRESS:PORT or :PORT, translated or not")
	flags.StringVar(&f.to, "dst", "", "only flows opened to ADDRESS, PREFIX, ADDRESS:PORT or :PORT, translated or not")
	flags.Uint16Var(&f.port, "port", 0, "only flows with this port on either side")
	fixed := func(values []string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	must(cmd.RegisterFlagCompletionFunc("proto", fixed(protocols())))
	must(cmd.RegisterFlagCompletionFunc("state", fixed(flowStates())))
	must(cmd.RegisterFlagCompletionFunc("service", p.completion(serviceKeys)))
	must(cmd.RegisterFlagCompletionFunc("node", p.completion(nodeKeys)))
}

// isEmpty reports whether every flow passes.
func (f *flowFilter) isEmpty() bool {
	return f.service == "" && f.node == "" && len(f.protos) == 0 && len(f.states) == 0 && f.from == "" && f.to == "" && f.port == 0
}

// check reads the flags; takes needs it.
func (f *flowFilter) check() (err error) {
	for _, p := range f.protos {
		if !slices.Contains(protocols(), p) {
			return cmdline.Usagef("unknown protocol %q in --proto: use %s", p, strings.Join(protocols(), ", "))
		}
	}
	for _, s := range f.states {
		if !slices.Contains(flowStates(), s) {
			return cmdline.Usagef("unknown state %q in --state: use %s", s, strings.Join(flowStates(), ", "))
		}
	}
	if _, err := netip.ParseAddr(f.service); f.service != "" && err != nil && !isHex(f.service) {
		return cmdline.Usagef("--service %q is neither an address nor a service id", f.service)
	}
	if f.src, err = parseSide(f.from); err != nil {
		return cmdline.Usagef("--src: %w", err)
	}
	if f.dst, err = parseSide(f.to); err != nil {
		return cmdline.Usagef("--dst: %w", err)
	}
	return nil
}

func isHex(s string) bool { return len(s) <= 24 && strings.Trim(s, "0123456789abcdef") == "" }

func (f *flowFilter) takes(flow inspect.Flow) bool {
	if f.service != "" {
		addr, err := netip.ParseAddr(f.service)
		if err == nil && addr.Unmap() != flow.Destination || err != nil && !means(f.service, flow.ServiceID) {
			return false
		}
	}
	ports := []uint16{flow.SourcePort, flow.DestinationPort, flow.TranslatedSourcePort, flow.TranslatedDestinationPort}
	return (len(f.protos) == 0 || slices.Contains(f.protos, flow.Protocol)) &&
		(len(f.states) == 0 || slices.Contains(f.states, flow.State)) &&
		(f.node == "" || means(f.node, flow.WorkerID) || flow.Peer != 0 && f.node == number(flow.Peer)) &&
		(f.port == 0 || slices.Contains(ports, f.port)) &&
		(f.src.takes(flow.Source, flow.SourcePort) || f.src.takes(flow.TranslatedSource, flow.TranslatedSourcePort)) &&
		(f.dst.takes(flow.Destination, flow.DestinationPort) || f.dst.takes(flow.TranslatedDestination, flow.TranslatedDestinationPort))
}

// side is what one end of a flow has to be; a zero field takes all.
type side struct {
	addrs netip.Prefix
	port  uint16
}

// parseSide reads ADDRESS, PREFIX, ADDRESS:PORT, [ADDRESS]:PORT or :PORT.
func parseSide(s string) (side, error) {
	if s == "" {
		return side{}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return side{addrs: exactly(a)}, nil
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return side{addrs: p.Masked()}, nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return side{addrs: exactly(ap.Addr()), port: ap.Port()}, nil
	}
	if digits, ok := strings.CutPrefix(s, ":"); ok {
		if port, err := strconv.ParseUint(digits, 10, 16); err == nil && port != 0 {
			return side{port: uint16(port)}, nil
		}
	}
	return side{}, fmt.Errorf("%q is none of ADDRESS, PREFIX, ADDRESS:PORT, [ADDRESS]:PORT and :PORT", s)
}

func exactly(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen())
}

func (s side) takes(a netip.Addr, port uint16) bool {
	return (!s.addrs.IsValid() || s.addrs.Contains(a)) && (s.port == 0 || s.port == port)
}
