// SPDX-License-Identifier: Apache-2.0

package kubeproxy

import (
	"fmt"
	"strings"
)

// nftBase is what kube-proxy makes before it knows any service, and flannel's own table.
const nftBase = `table ip kube-proxy {
	comment "rules for kube-proxy"
	set cluster-ips { type ipv4_addr; comment "Active ClusterIPs"; }
	set nodeport-ips { type ipv4_addr; comment "IPs that accept NodePort traffic"; }
	map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; comment "vmap to drop or reject packets to services with no endpoints"; }
	map no-endpoint-nodeports { type inet_proto . inet_service : verdict; comment "vmap to drop or reject packets to service nodeports with no endpoints"; }
	map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; comment "destinations that are subject to LoadBalancerSourceRanges"; }
	map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; comment "ClusterIP, ExternalIP and LoadBalancer IP traffic"; }
	map service-nodeports { type inet_proto . inet_service : verdict; comment "NodePort traffic"; }
	chain filter-prerouting-pre-dnat { type filter hook prerouting priority -110; policy accept; ct state new jump firewall-check; }
	chain filter-forward { type filter hook forward priority -110; policy accept; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
	chain filter-input { type filter hook input priority -110; policy accept; ct state new jump nodeport-endpoints-check; ct state new jump service-endpoints-check; }
	chain filter-output-pre-dnat { type filter hook output priority -110; policy accept; ct state new jump firewall-check; }
	chain filter-output { type filter hook output priority -90; policy accept; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
	chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }
	chain nat-output { type nat hook output priority -100; policy accept; jump services; }
	chain nat-postrouting { type nat hook postrouting priority srcnat; policy accept; jump masquerading; }
	chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
	chain nodeport-endpoints-check { ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports; }
	chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }
	chain cluster-ips-check { ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"; }
	chain mark-for-masquerade { meta mark set meta mark | 0x4000; }
	chain masquerading { meta mark & 0x4000 == 0 return; meta mark set meta mark ^ 0x4000; masquerade fully-random; }
	chain reject-chain { reject; }
	chain services {
		ip daddr . meta l4proto . th dport vmap @service-ips
		ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
	}
}
table ip flannel-ipv4 {
	chain postrtg {
		type nat hook postrouting priority srcnat; policy accept;
		meta mark & 0x4000 != 0 return
		ip saddr %[2]s ip daddr %[1]s return
		ip saddr %[1]s ip daddr %[2]s return
		ip saddr != %[1]s ip daddr %[2]s return
		ip saddr %[1]s ip daddr != 224.0.0.0/4 masquerade fully-random
		ip saddr != %[1]s ip daddr %[1]s masquerade fully-random
	}
	chain forward { type filter hook forward priority filter; policy accept; ip saddr %[1]s accept; ip daddr %[1]s accept; }
}
`

// NFT is the whole rule set in one transaction, for nft -f.
func NFT(n Network, services []Service) string {
	var b strings.Builder
	fmt.Fprintf(&b, nftBase, n.Pods, n.Own)
	b.WriteString("table ip kube-proxy {\n")
	for _, s := range services {
		writeNFTService(&b, n, s)
	}
	b.WriteString("}\n")
	if len(services) == 0 {
		return b.String()
	}
	b.WriteString("add element ip kube-proxy cluster-ips {\n")
	seen := map[string]bool{}
	for _, s := range services {
		if a := s.Address.Addr().String(); !seen[a] {
			seen[a] = true
			fmt.Fprintf(&b, "%s,\n", a)
		}
	}
	b.WriteString("}\nadd element ip kube-proxy service-ips {\n")
	for _, s := range services {
		fmt.Fprintf(&b, "%s . %s . %d : goto %s,\n", s.Address.Addr(), s.Protocol, s.Address.Port(), nftServiceChain(s))
	}
	b.WriteString("}\n")
	return b.String()
}

// chainName makes what nft takes for a name of a service's; kube-proxy adds the hash so that it stays unique when it is cut.
func chainName(kind, id, suffix string) string {
	return kind + "-" + hash(8, id) + "-" + strings.NewReplacer(":", "/", " ", "").Replace(suffix)
}

func nftServiceChain(s Service) string { return chainName("service", s.Name+s.Protocol, nftPath(s)) }

func nftPath(s Service) string {
	name, port, _ := strings.Cut(s.Name, ":")
	return name + "/" + s.Protocol + "/" + port
}

func nftEndpointChain(s Service, i int) string {
	e := s.Endpoints[i]
	return chainName("endpoint", s.Name+s.Protocol+e.String(), fmt.Sprintf("%s__%s/%d", nftPath(s), e.Addr(), e.Port()))
}

// writeNFTService writes chains in the order in which they can name one another.
func writeNFTService(b *strings.Builder, n Network, s Service) {
	for i, e := range s.Endpoints {
		fmt.Fprintf(b, "chain %s { ip saddr %s jump mark-for-masquerade; meta l4proto %s dnat to %s; }\n",
			nftEndpointChain(s, i), e.Addr(), s.Protocol, e)
	}
	fmt.Fprintf(b, "chain %s {\n", nftServiceChain(s))
	writeNFTChoice(b, n, s)
	b.WriteString("}\n")
}

func writeNFTChoice(b *strings.Builder, n Network, s Service) {
	fmt.Fprintf(b, "ip daddr %s %s dport %d ip saddr != %s jump mark-for-masquerade\n", s.Address.Addr(), s.Protocol, s.Address.Port(), n.Pods)
	fmt.Fprintf(b, "numgen random mod %d vmap { ", len(s.Endpoints))
	for i := range s.Endpoints {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(b, "%d : goto %s", i, nftEndpointChain(s, i))
	}
	b.WriteString(" }\n")
}

// NFTChange is the transaction that makes a service's endpoints those of s, of which the last is new.
func NFTChange(n Network, s Service) string {
	var b strings.Builder
	last := len(s.Endpoints) - 1
	fmt.Fprintf(&b, "add chain ip kube-proxy %s\n", nftEndpointChain(s, last))
	fmt.Fprintf(&b, "flush chain ip kube-proxy %s\n", nftEndpointChain(s, last))
	fmt.Fprintf(&b, "flush chain ip kube-proxy %s\n", nftServiceChain(s))
	b.WriteString("table ip kube-proxy {\n")
	e := s.Endpoints[last]
	fmt.Fprintf(&b, "chain %s { ip saddr %s jump mark-for-masquerade; meta l4proto %s dnat to %s; }\n", nftEndpointChain(s, last), e.Addr(), s.Protocol, e)
	fmt.Fprintf(&b, "chain %s {\n", nftServiceChain(s))
	writeNFTChoice(&b, n, s)
	b.WriteString("}\n}\n")
	return b.String()
}
