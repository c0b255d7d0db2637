// SPDX-License-Identifier: Apache-2.0

package doctor

import "slices"

// Kinds lists all sorts of findings.
func Kinds() []Kind { return slices.Concat(hostKinds(), networkKinds(), neighbourKinds()) }

// networkKinds are of devices, ports, firewalls and other workers.
func networkKinds() []Kind {
	return []Kind{
		{
			ID: "port-taken", Severity: Error, What: "a port that a program needs is another's",
			Why:  "the program does not start",
			Cure: []string{"ss -lnp | grep :{port}", "{program} --{flag} …   # another port, and the same where others dial it"}, Hides: []string{"not-ready"},
		},
		{
			ID: "uplink-missing", Severity: Error, What: "there is no device towards other workers, or it cannot be used",
			Why:  "the overlay's packets leave and arrive there",
			Cure: []string{"ip -br address", "NetManager --uplink …   # or DefaultInterface in /etc/netmanager/netcfg.json", "ip link set dev … up"},
		},
		{
			ID: "mtu-low", Severity: Error, What: "the uplink's MTU is less than 1336 bytes",
			Why:  "the tunnel takes 56 of them, and IPv6 has to have 1280 inside: its larger packets would be lost",
			Cure: []string{"ip link set dev {device} mtu 1500   # {mtu} at least"}, Hides: []string{"path-mtu"},
		},
		{
			ID: "path-mtu", Severity: Error, What: "packets of the uplink's size do not arrive, and nobody says so",
			Why:  "connections are opened, and stand still with the first large packet",
			Cure: []string{"ip link set dev {device} mtu {mtu}   # on both ends, or let ICMP `fragmentation needed` and `packet too big` pass between them"},
		},
		{
			ID: "datapath", Severity: Error, What: "`oak-net check` finds a fault in NetManager's programs or maps",
			Why:  "services are reached badly, or not at all",
			Cure: []string{"oak-net --worker {worker} check", "systemctl restart netmanager"},
		},
		{
			ID: "peer-unreachable", Severity: Error, What: "hellos do not go both ways between this worker and another",
			Why:  "instances there are no choice for callers here, nor the reverse",
			Cure: []string{"nft insert rule inet filter input udp dport {port} accept   # on both workers, and on firewalls and NATs between them", "oak-net node"},
		},
		{
			ID: "foreign-program", Severity: Warning, What: "somebody else's program is on the uplink",
			Why:  "it sees packets before or after NetManager's, and may drop or change those of the tunnel",
			Cure: []string{"{cure}"},
		},
		{
			ID: "firewall-forward", Severity: Warning, What: "another firewall's chain drops what the host forwards",
			Why:  "containers reach nothing outside the overlay; NetManager opens the chains of Docker, ufw, firewalld and iptables itself, and leaves others alone",
			Cure: []string{`nft insert rule {chain} iifname "oak-c*" accept`, `nft insert rule {chain} oifname "oak-c*" accept`},
		},
		{
			ID: "firewall-input", Severity: Warning, What: "another firewall's chain drops what comes in",
			Why:  "containers' lookups of names come in by their devices",
			Cure: []string{`nft insert rule {chain} iifname "oak-c*" meta l4proto { tcp, udp } th dport 53 accept`},
		},
		{
			ID: "firewall-legacy", Severity: Warning, What: "iptables' old form drops what the host forwards",
			Why:  "containers reach nothing outside the overlay; NetManager does not read these rules",
			Cure: []string{"{program} -I FORWARD -i oak-c+ -j ACCEPT", "{program} -I FORWARD -o oak-c+ -j ACCEPT"},
		},
		{
			ID: "nftables-missing", Severity: Error, What: "the kernel has no nftables",
			Why:  "containers' packets to the outside are masqueraded with it",
			Cure: []string{"modprobe nf_tables", "apt-get install linux-image-$(dpkg --print-architecture)", "reboot"},
		},
		{
			ID: "sysctl-read-only", Severity: Error, What: "settings of the network cannot be written",
			Why:  "NetManager has the host forward containers' packets, and keeps services' ports from other programs",
			Cure: []string{"mount -o remount,rw /proc/sys", "docker run --privileged …   # where this is a container"},
		},
		{
			ID: "forwarding-off", Severity: Error, What: "forwarding is off on the uplink, and stays so",
			Why:  "answers from outside do not get back to containers; somebody else keeps writing the setting",
			Cure: []string{"sysctl -w net.ipv4.conf.{device}.forwarding=1", "grep -r forward /etc/sysctl.conf /etc/sysctl.d"},
		},
		{
			ID: "rp-filter", Severity: Error, What: "rp_filter is strict on NetManager's device, and stays so",
			Why:  "packets from the overlay to the host are dropped; somebody else keeps writing the setting",
			Cure: []string{"sysctl -w net.ipv4.conf.{device}.rp_filter=2", "grep -r rp_filter /etc/sysctl.conf /etc/sysctl.d"},
		},
		{
			ID: "ports-few", Severity: Warning, What: "few ports are left for connections from here",
			Why:  "once they are used up, neither the host nor masqueraded containers open a connection",
			Cure: []string{"sysctl -w net.ipv4.ip_local_port_range='32768 60999'", "sysctl net.ipv4.ip_local_reserved_ports"},
		},
	}
}

// neighbourKinds are of the tiers above, of what proves who this machine is, and of the programs' own word.
func neighbourKinds() []Kind {
	return []Kind{
		{
			ID: "above-unreachable", Severity: Error, What: "the cluster (of a worker) or root (of a cluster) does not answer",
			Why:   "this machine cannot join; one that has goes on with what it was told, and learns nothing new",
			Cure:  []string{"ping -c 3 {host}", "curl -k {url}/readyz", "systemctl status cluster-orchestrator root-orchestrator   # there"},
			Hides: []string{"broker-unreachable", "not-connected", "path-mtu"},
		},
		{
			ID: "above-stranger", Severity: Error, What: "another orchestrator answers than the one that this machine belongs to, or whose token it has",
			Why:   "nothing is asked of it, and nothing believed",
			Cure:  []string{"oak token create --quiet   # at that root; cluster-orchestrator token create --quiet at that cluster: and put it into {file}", "oak doctor {role} -v"},
			Hides: []string{"not-connected"},
		},
		{
			ID: "above-not-ready", Severity: Warning, What: "the tier above answers, and says that it is not ready",
			Why:   "nothing new is learned from it until it is",
			Cure:  []string{"curl -k {url}/readyz", "oak doctor cluster   # there, or oak doctor root"},
			Hides: []string{"not-connected"},
		},
		{
			ID: "broker-unreachable", Severity: Error, What: "none of the cluster's MQTT brokers takes connections",
			Why:  "what a worker is to run, and what it runs, is told there",
			Cure: []string{"nft insert rule inet filter input tcp dport 10003 accept   # at {host}, and on firewalls between", "systemctl status cluster-orchestrator mosquitto   # there"}, Hides: []string{"not-connected"},
		},
		{
			ID: "clock-off", Severity: Error, What: "the clock differs from the tier above's by more than 15 s, or from what can be",
			Why:  "certificates and tokens are refused before or after their time, and events are told in a wrong order",
			Cure: []string{"apt-get install systemd-timesyncd", "timedatectl set-ntp true", "timedatectl timesync-status"}, Hides: []string{"clock-unsynchronised", "certificate-*", "not-connected"},
		},
		{
			ID: "clock-unsynchronised", Severity: Warning, What: "nothing keeps the clock right, and there is no tier above to compare it with",
			Why:  "all that join measure their clocks by this one; certificates and tokens are judged by it",
			Cure: []string{"apt-get install systemd-timesyncd", "timedatectl set-ntp true"},
		},
		{
			ID: "token-missing", Severity: Error, What: "there is no token to join with",
			Why:  "this machine has not joined, and cannot without one",
			Cure: []string{"{issuer} > token   # where the tier above runs; then here:", "install -D -m 600 token {file}"},
		},
		{
			ID: "token-open", Severity: Warning, What: "others than its owner can read or write the token",
			Why:  "who has read it can join in this machine's place",
			Cure: []string{"chmod 600 {file}"},
		},
		{
			ID: "token-refused", Severity: Error, What: "the token would not be accepted: not of that orchestrator, malformed, expired, or used up",
			Why:  "this machine cannot join with it",
			Cure: []string{"{issuer} > token   # where the tier above runs; then here:", "install -D -m 600 token {file}"}, Hides: []string{"above-stranger"},
		},
		{
			ID: "identity-broken", Severity: Error, What: "what this machine proves itself with cannot be used",
			Why:  "the tier above takes it for a stranger",
			Cure: []string{"rm {dir}/identity.json   # once its instances are stopped; then join with a new token", "systemctl restart nodeengine"}, Hides: []string{"not-ready", "not-connected"},
		},
		{
			ID: "certificate-expired", Severity: Error, What: "a certificate's time is over",
			Why:  "the tier above takes no connection of this machine's; with a new token it gets another certificate, and stays who it is",
			Cure: []string{"oak token create --quiet > token   # at root, for a cluster; cluster-orchestrator token create --quiet, for a worker; then here:", "install -D -m 600 token {file}"}, Hides: []string{"not-connected", "above-stranger"},
		},
		{
			ID: "certificate-due", Severity: Warning, What: "a certificate should have been renewed by now",
			Why:  "programs do that by themselves after two thirds of its time; the tier above was away, or refuses",
			Cure: []string{"curl -k https://{host}:10100/readyz   # root's port is 10000", "journalctl -u nodeengine -u cluster-orchestrator | grep -i renew"},
		},
		{
			ID: "not-ready", Severity: Error, What: "a program runs, and says that it is not ready, or says nothing",
			Why:  "it does none of its work, or only part of it",
			Cure: []string{"systemctl status {unit}", "journalctl -u {unit} -n 50"},
		},
		{
			ID: "not-connected", Severity: Error, What: "NodeEngine has no session with its cluster's broker",
			Why:  "instances go on; what is deployed, moved or deleted is not learned",
			Cure: []string{"NodeEngine status", "journalctl -u nodeengine -n 50"},
		},
		{
			ID: "database-unreachable", Severity: Error, What: "the orchestrator's Postgres cannot be used",
			Why:  "nothing is acknowledged that is not in it: requests are answered 503",
			Cure: []string{"pg_isready -h {host} -p {port}", "systemctl restart postgresql"}, Hides: []string{"not-ready"},
		},
		{
			ID: "database-read-only", Severity: Error, What: "the orchestrator's Postgres takes no writes from it",
			Why:  "nothing can be acknowledged",
			Cure: []string{"psql -h {host} -p {port} -c 'SELECT pg_is_in_recovery()'", "pg_ctl promote   # of a standby that is to serve"}, Hides: []string{"not-ready"},
		},
		{
			ID: "database-old", Severity: Warning, What: "the orchestrator's Postgres is older than 13",
			Why:  "its makers mend it no more, and it is not tested with",
			Cure: []string{"apt-get install postgresql", "pg_upgradecluster …"},
		},
	}
}
