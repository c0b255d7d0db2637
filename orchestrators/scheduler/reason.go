// SPDX-License-Identifier: Apache-2.0

package scheduler

import "github.com/oakestra/oakestra-ebpf/control/wire"

// reason is the first thing that speaks against a candidate, in the order in which they are looked at within a kind.
type reason uint8

const (
	accepted reason = iota

	// What a candidate is. These are looked at once for a class of requests.
	notNamed
	notAllowed
	denied
	unheard // nothing is known of it yet
	wrongArchitecture
	wrongRuntime
	noGPU
	noTPU
	lacksAddon
	lacksVolumeDriver
	unprivileged
	uplinkUnknown
	placeUnknown
	tooFar
	tooSlow

	// How a candidate is now.
	excluded
	unavailable
	lacksVCPUs
	lacksMemory
	lacksStorage
	lacksGPUs
	lacksTPUs
	lacksBandwidthIn
	lacksBandwidthOut
	noSlot
	portTaken
	portInUse

	reasons
)

// words are the reasons' stable names.
var words = [reasons]string{
	notNamed: "direct", notAllowed: "clusters_allowed", denied: "clusters_denied", unheard: "unknown", wrongArchitecture: "architecture",
	wrongRuntime: "runtime", noGPU: "gpu", noTPU: "tpu", lacksAddon: "addon", lacksVolumeDriver: "volume_driver", unprivileged: "privileged", uplinkUnknown: "uplink_unknown",
	placeUnknown: "location_unknown", tooFar: "geo", tooSlow: "latency", excluded: "excluded", unavailable: "unavailable", lacksVCPUs: "vcpus",
	lacksMemory: "memory", lacksStorage: "storage", lacksGPUs: "gpus", lacksTPUs: "tpus", lacksBandwidthIn: "bandwidth_in",
	lacksBandwidthOut: "bandwidth_out", noSlot: "no_single_worker", portTaken: "host_port", portInUse: "host_port_of_process",
}

func (r reason) kind() wire.RefusalKind {
	switch {
	case r == unheard, r == excluded, r == unavailable:
		return wire.RefusalUnavailable
	case r < excluded:
		return wire.RefusalUnqualified
	}
	return wire.RefusalFull
}
