// SPDX-License-Identifier: Apache-2.0

package kubeproxy

import (
	"fmt"
	"slices"
	"strings"
)

// IPTables is the whole rule set in one transaction a table, for iptables-restore. Services are looked through in the order
// given, as kube-proxy's chain is.
func IPTables(n Network, services []Service) string {
	var b strings.Builder
	b.WriteString(`*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:FLANNEL-FWD - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
`)
	fmt.Fprintf(&b, "-A FLANNEL-FWD -s %[1]s -m comment --comment \"flanneld forward\" -j ACCEPT\n-A FLANNEL-FWD -d %[1]s -m comment --comment \"flanneld forward\" -j ACCEPT\nCOMMIT\n", n.Pods)
	b.WriteString(`*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:FLANNEL-POSTRTG - [0:0]
`)
	for _, s := range services {
		fmt.Fprintf(&b, ":%s - [0:0]\n", iptablesService(s))
		for i := range s.Endpoints {
			fmt.Fprintf(&b, ":%s - [0:0]\n", iptablesEndpoint(s, i))
		}
	}
	b.WriteString(`-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
`)
	fmt.Fprintf(&b, `-A FLANNEL-POSTRTG -s %[2]s -d %[1]s -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s %[1]s -d %[2]s -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG ! -s %[1]s -d %[2]s -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s %[1]s ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s %[1]s -d %[1]s -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
`, n.Pods, n.Own)
	for _, s := range services {
		fmt.Fprintf(&b, "-A KUBE-SERVICES -d %s -p %s -m comment --comment \"%s cluster IP\" -m %s --dport %d -j %s\n",
			host(s), s.Protocol, s.Name, s.Protocol, s.Address.Port(), iptablesService(s))
		writeIPTablesService(&b, n, s)
		for i := range s.Endpoints {
			writeIPTablesEndpoint(&b, s, i)
		}
	}
	b.WriteString("-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\nCOMMIT\n")
	return withoutAccounting(b.String())
}

// withoutAccounting leaves the counter of invalid packets out, which takes an object that is made elsewhere.
func withoutAccounting(rules string) string {
	return strings.ReplaceAll(rules, " -m nfacct --nfacct-name ct_state_invalid_dropped_pkts", "")
}

func host(s Service) string { return s.Address.Addr().String() + "/32" }

func iptablesService(s Service) string { return "KUBE-SVC-" + hash(16, s.Name+s.Protocol) }

func iptablesEndpoint(s Service, i int) string {
	return "KUBE-SEP-" + hash(16, s.Name+s.Protocol+s.Endpoints[i].String())
}

func writeIPTablesService(b *strings.Builder, n Network, s Service) {
	chain := iptablesService(s)
	fmt.Fprintf(b, "-A %s ! -s %s -d %s -p %s -m comment --comment \"%s cluster IP\" -m %s --dport %d -j KUBE-MARK-MASQ\n",
		chain, n.Pods, host(s), s.Protocol, s.Name, s.Protocol, s.Address.Port())
	for i, e := range s.Endpoints {
		chance := ""
		if left := len(s.Endpoints) - i; left > 1 {
			chance = fmt.Sprintf(" -m statistic --mode random --probability %.10f", 1/float64(left))
		}
		fmt.Fprintf(b, "-A %s -m comment --comment \"%s -> %s\"%s -j %s\n", chain, s.Name, e, chance, iptablesEndpoint(s, i))
	}
}

func writeIPTablesEndpoint(b *strings.Builder, s Service, i int) {
	e := s.Endpoints[i]
	fmt.Fprintf(b, "-A %s -s %s/32 -m comment --comment \"%s\" -j KUBE-MARK-MASQ\n", iptablesEndpoint(s, i), e.Addr(), s.Name)
	fmt.Fprintf(b, "-A %s -p %s -m comment --comment \"%s\" -m %s -j DNAT --to-destination %s\n", iptablesEndpoint(s, i), s.Protocol, s.Name, s.Protocol, e)
}

// IPTablesChange is the transaction that makes a service's endpoints those of s, of which the last is new; for iptables-restore --noflush,
// as kube-proxy writes only the chains that change.
func IPTablesChange(n Network, s Service) string {
	var b strings.Builder
	last := len(s.Endpoints) - 1
	fmt.Fprintf(&b, "*nat\n:%s - [0:0]\n:%s - [0:0]\n", iptablesService(s), iptablesEndpoint(s, last))
	writeIPTablesService(&b, n, s)
	writeIPTablesEndpoint(&b, s, last)
	b.WriteString("COMMIT\n")
	return b.String()
}

// Among puts services in the middle of others, where a search from the front meets them on the average.
func Among(others, services []Service) []Service {
	half := len(others) / 2
	return slices.Concat(others[:half], services, others[half:])
}
