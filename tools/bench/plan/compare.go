// SPDX-License-Identifier: Apache-2.0

package plan

// Comparison is a ratio of two variants' processor times in the same rounds of a part.
type Comparison struct {
	Part  string `json:"part"`
	Over  string `json:"over"`
	Under string `json:"under"`
}

// Comparisons are those that reports show, where both were measured.
func Comparisons() (out []Comparison) {
	add := func(part, under string, over ...string) {
		for _, o := range over {
			out = append(out, Comparison{part, o, under})
		}
	}
	add("table", "routed", "host", "bare", "nft", "oak")
	add("table", "nft", "bare", "oak")
	add("table", "bare", "oak")
	add("table", "routed-same", "bare-same", "nft-same", "oak-same")
	add("table", "nft-same", "oak-same")
	add("table", "bare-same", "oak-same")
	add("table", "routed-plain", "host-plain", "nft-plain", "oak-plain")
	add("table", "nft-plain", "oak-plain")
	add("table", "oak", "oak6")
	add("table", "oak-same", "oak6-same")
	add("table", "routed", "routed6")
	add("table", "routed-same", "routed6-same")
	add("table", "routed6", "oak6")
	add("table", "routed6-same", "oak6-same")
	add("scale", services(Oak, Growth[0], several).Name(), services(Oak, Growth[len(Growth)-1], several).Name())
	for _, place := range []string{"", "-same"} {
		add("policies", "oak-rr"+place, "oak-closest"+place, "oak-underutilized"+place, "oak-instance"+place)
	}
	for _, way := range []Way{Oak, NFT, IPTables} {
		few := services(way, Growth[0], several).Name()
		for _, n := range Growth[1:] {
			add("growth", few, services(way, n, several).Name())
		}
	}
	for _, n := range Growth {
		add("growth", services(NFT, n, several).Name(), services(Oak, n, several).Name())
	}
	return out
}

// Demand is a comparison that has to stay at or below a limit for each workload.
type Demand struct {
	Comparison
	Title  string
	Limits map[string]float64 // by the workload's name
}

// Demands are what this project asks of its dataplane.
func Demands() []Demand {
	limits := func(bulk, request, connect, udp float64) map[string]float64 {
		return map[string]float64{Bulk.Name: bulk, Request.Name: request, Connect.Name: connect, UDP.Name: udp}
	}
	grown, few := services(Oak, Growth[len(Growth)-1], several).Name(), services(Oak, Growth[0], several).Name()
	return []Demand{
		{Comparison{"table", "oak", "routed"}, "other worker, against routed containers", limits(0.97, 0.92, 0.99, 0.94)},
		{Comparison{"table", "oak", "nft"}, "other worker, against bridge + VXLAN + nftables", limits(0.75, 0.55, 0.52, 0.47)},
		{Comparison{"table", "oak-same", "routed-same"}, "same worker, against routed containers", limits(0.93, 0.88, 0.88, 0.88)},
		{Comparison{"table", "oak-plain", "nft-plain"}, "uplink without offloads, against VXLAN + nftables", map[string]float64{Bulk.Name: 1}},
		{Comparison{"table", "oak6", "oak"}, "IPv6 against IPv4, other worker", limits(1.05, 1.05, 1.05, 1.05)},
		{Comparison{"table", "oak6-same", "oak-same"}, "IPv6 against IPv4, same worker", limits(1.05, 1.05, 1.05, 1.05)},
		{Comparison{"scale", grown, few}, "10,000 services × 10 instances against 10", limits(1.05, 1.05, 1.05, 1.05)},
	}
}
