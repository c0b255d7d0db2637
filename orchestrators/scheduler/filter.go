// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// suits returns what speaks against the kind of candidate that c is, whatever it has free now, and how far c is from what the request has to
// be near to: the sum of the parts of all thresholds.
func suits(req *Request, c *Candidate) (why reason, far float64) {
	site := cmp.Or(c.Site, c.ID)
	switch {
	case len(req.Nodes) > 0 && !named(req.Nodes, c.Name, c.ID):
		return notNamed, 0
	case (len(req.Allowed) > 0 || req.HasAllowed) && !named(req.Allowed, c.Name, site):
		return notAllowed, 0
	case named(req.Denied, c.Name, site):
		return denied, 0
	case c.Unavailable != "" && c.Arch == "" && len(c.Runtimes) == 0:
		return unheard, 0
	case len(req.Architectures) > 0 && !slices.Contains(req.Architectures, c.Arch):
		return wrongArchitecture, 0
	case req.Runtime != "" && !slices.Contains(c.Runtimes, req.Runtime):
		return wrongRuntime, 0
	case req.Need.GPUs > 0 && c.Capacity.GPUs == 0:
		return noGPU, 0
	case req.Need.TPUs > 0 && c.Capacity.TPUs == 0:
		return noTPU, 0
	case missing(req.Addons, c.Addons) != "":
		return lacksAddon, 0
	case missing(req.VolumeDrivers, c.VolumeDrivers) != "":
		return lacksVolumeDriver, 0
	case req.Privileged && c.Unprivileged:
		return unprivileged, 0
	case req.Need.BandwidthIn > 0 && c.Capacity.BandwidthIn == 0, req.Need.BandwidthOut > 0 && c.Capacity.BandwidthOut == 0:
		return uplinkUnknown, 0
	}
	for i := range req.Near {
		why, part := req.Near[i].judge(c)
		if why != accepted {
			return why, 0
		}
		far += part
	}
	return accepted, far
}

func named(list []string, name, id string) bool {
	return len(list) > 0 && (slices.Contains(list, name) || slices.Contains(list, id))
}

// missing returns the first of needs that is not offered, or "".
func missing(needs, offered []string) string {
	for _, need := range needs {
		if !slices.Contains(offered, need) {
			return need
		}
	}
	return ""
}

// text says in a person's words why the candidate was refused.
func (p *Pool) text(req *Request, i int32, why reason) string {
	c := &p.candidates[i]
	switch why {
	case notNamed:
		return "is not among the nodes that the service names (" + strings.Join(req.Nodes, ", ") + ")"
	case notAllowed:
		return "is not among the clusters that the service allows (" + cmp.Or(strings.Join(req.Allowed, ", "), "its constraints have none in common") + ")"
	case denied:
		return "is among the clusters that the service is kept out of"
	case unheard, unavailable:
		return c.Unavailable
	case wrongArchitecture:
		return fmt.Sprintf("has architecture %s, the service needs %s", cmp.Or(c.Arch, "unknown"), strings.Join(req.Architectures, " or "))
	case wrongRuntime:
		return fmt.Sprintf("does not offer runtime %s (it offers %s)", req.Runtime, cmp.Or(strings.Join(c.Runtimes, ", "), "none"))
	case noGPU:
		return fmt.Sprintf("has no GPU, the service needs %d", req.Need.GPUs)
	case noTPU:
		return fmt.Sprintf("has no TPU, the service needs %d", req.Need.TPUs)
	case lacksAddon:
		return "lacks add-on " + missing(req.Addons, c.Addons)
	case lacksVolumeDriver:
		return "lacks volume driver " + missing(req.VolumeDrivers, c.VolumeDrivers)
	case unprivileged:
		return "takes no privileged containers (--allow-privileged), and the service is one"
	case uplinkUnknown:
		return "does not tell the speed of its uplink (--uplink-kbit), and the service asks for bandwidth"
	case placeUnknown, tooFar, tooSlow:
		for n := range req.Near {
			if verdict, _ := req.Near[n].judge(c); verdict != accepted {
				return req.Near[n].text(c)
			}
		}
	case excluded:
		reason, _ := req.excludes(c)
		return reason
	case noSlot:
		return "no single worker has that much free: needs " + wanted(&req.Need) + "; " + strconv.Itoa(max(c.Weight, 1)) + " workers"
	case portTaken, portInUse:
		return p.portText(req, i)
	}
	return shortage(&req.Need, &p.hot[i].free)
}

func (p *Pool) portText(req *Request, i int32) string {
	for _, want := range req.Ports {
		switch p.port(want, i) {
		case portTaken:
			return fmt.Sprintf("host port %d/%s is taken there by another instance", want.Host, want.Protocol)
		case portInUse:
			return fmt.Sprintf("host port %d/%s is in use there by a process of the worker", want.Host, want.Protocol)
		}
	}
	return "a host port is taken"
}

func (r *Request) excludes(c *Candidate) (why string, ok bool) {
	if why, ok = r.Exclude[c.ID]; !ok && c.Site != "" {
		why, ok = r.Exclude[c.Site]
	}
	return why, ok
}

// shortage names every amount of need that free lacks.
func shortage(need, free *wire.Slot) string {
	var lacks []string
	add := func(what, unit string, need, free float64) {
		if need > free && need > 0 {
			lacks = append(lacks, what+": needs "+amount(need)+unit+", "+amount(max(free, 0))+unit+" free")
		}
	}
	add("vCPU", "", need.VCPUs, free.VCPUs)
	add("memory", " MiB", float64(need.MemoryMB), float64(free.MemoryMB))
	add("storage", " MiB", float64(need.StorageMB), float64(free.StorageMB))
	add("GPU", "", float64(need.GPUs), float64(free.GPUs))
	add("TPU", "", float64(need.TPUs), float64(free.TPUs))
	add("bandwidth in", " kbit/s", float64(need.BandwidthIn), float64(free.BandwidthIn))
	add("bandwidth out", " kbit/s", float64(need.BandwidthOut), float64(free.BandwidthOut))
	return strings.Join(lacks, "; ")
}

// wanted lists what is needed.
func wanted(need *wire.Slot) string {
	var parts []string
	add := func(unit string, v float64) {
		if v > 0 {
			parts = append(parts, amount(v)+" "+unit)
		}
	}
	add("vCPU", need.VCPUs)
	add("MiB of memory", float64(need.MemoryMB))
	add("MiB of storage", float64(need.StorageMB))
	add("GPU", float64(need.GPUs))
	add("TPU", float64(need.TPUs))
	add("kbit/s in", float64(need.BandwidthIn))
	add("kbit/s out", float64(need.BandwidthOut))
	return strings.Join(parts, ", ")
}

func amount(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
