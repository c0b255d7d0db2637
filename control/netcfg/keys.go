// SPDX-License-Identifier: Apache-2.0

package netcfg

import (
	"maps"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
)

// row is one key that means something.
type row struct {
	key, meaning string
	read         func(*File, string) error
}

// table is every key that is read, by name.
var table = []row{
	{"ClusterMqttPort", "port of the MQTT brokers of the cluster (default: what the cluster says at the join); NodeEngine", func(f *File, s string) error { return parsePort(s, &f.MQTTPort) }},
	{"ClusterUrl", "host of the cluster orchestrator; a scheme and a port are passed over, 0.0.0.0 stands for none; NodeEngine, unless -a says otherwise", (*File).cluster},
	{"Debug", "true has NetManager log more, unless --log-level says otherwise", (*File).debug},
	{"DefaultInterface", "device towards other workers; NetManager, unless --uplink says otherwise", (*File).uplink},
	{"NodePublicAddress", "IP address at which other workers reach this one, if not at its uplink's; 0.0.0.0 stands for that; NetManager", (*File).publicAddress},
	{"NodePublicPort", "UDP port at which they reach its tunnel there; NetManager", func(f *File, s string) error { return parsePort(s, &f.PublicPort) }},
}

func names() []string {
	var all []string
	for _, r := range table {
		all = append(all, r.key)
	}
	return all
}

// Reference returns the keys, those that mean nothing any more too, for a program's reference.
func Reference() manual.Keys {
	k := manual.Keys{File: "netcfg.json (" + Path + "); values are strings or numbers, an unknown key is a warning, a wrong one an error"}
	for _, r := range table {
		k.Keys = append(k.Keys, manual.Variable{Name: r.key, Meaning: r.meaning})
	}
	for _, key := range slices.Sorted(maps.Keys(meaningless)) {
		k.Keys = append(k.Keys, manual.Variable{Name: key, Meaning: "without effect: " + meaningless[key]})
	}
	return k
}
