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

// Kind says what has to change for a refused candidate to be taken.
type Kind int

// The kinds of refusal, in the order in which a later one is closer to a placement.
const (
	// Unqualified candidates can never run the instance.
	Unqualified Kind = iota
	// Unavailable candidates could, but take nothing new now.
	Unavailable
	// Full candidates could, but what is free does not suffice.
	Full
)

// refuse returns why c cannot take req; ok is true if it can.
func refuse(req *Request, c *Candidate) (kind Kind, reason string, ok bool) {
	if len(req.Nodes) > 0 && !slices.Contains(req.Nodes, c.Name) && !slices.Contains(req.Nodes, c.ID) {
		return Unqualified, "is not among the nodes that the service names (" + strings.Join(req.Nodes, ", ") + ")", false
	}
	if c.Unavailable != "" && c.Arch == "" && len(c.Runtimes) == 0 {
		return Unavailable, c.Unavailable, false // nothing is known of it yet
	}
	if len(req.Architectures) > 0 && !slices.Contains(req.Architectures, c.Arch) {
		return Unqualified, fmt.Sprintf("has architecture %s, the service needs %s",
			cmp.Or(c.Arch, "unknown"), strings.Join(req.Architectures, " or ")), false
	}
	if req.Runtime != "" && !slices.Contains(c.Runtimes, req.Runtime) {
		return Unqualified, fmt.Sprintf("does not offer runtime %s (it offers %s)",
			req.Runtime, cmp.Or(strings.Join(c.Runtimes, ", "), "none")), false
	}
	if reason := req.Exclude[c.ID]; reason != "" {
		return Unavailable, reason, false
	}
	if c.Unavailable != "" {
		return Unavailable, c.Unavailable, false
	}
	if lacks := shortage(req.Need, c.Free); lacks != "" {
		return Full, lacks, false
	}
	for _, want := range req.Ports {
		if slices.ContainsFunc(c.Ports, want.SameHost) {
			return Full, fmt.Sprintf("host port %d/%s is taken there by another instance", want.Host, want.Protocol), false
		}
		if c.UsedPorts.Has(want) {
			return Full, fmt.Sprintf("host port %d/%s is in use there by a process of the worker", want.Host, want.Protocol), false
		}
	}
	return 0, "", true
}

// shortage names every amount of need that free lacks, or returns "".
func shortage(need, free wire.Slot) string {
	var lacks []string
	add := func(what, unit string, need, free float64) {
		if need > free {
			lacks = append(lacks, fmt.Sprintf("%s: needs %s%s, %s%s free", what, amount(need), unit, amount(max(free, 0)), unit))
		}
	}
	add("vCPU", "", need.VCPUs, free.VCPUs)
	add("memory", " MiB", float64(need.MemoryMB), float64(free.MemoryMB))
	add("storage", " MiB", float64(need.StorageMB), float64(free.StorageMB))
	add("GPU", "", float64(need.GPUs), float64(free.GPUs))
	return strings.Join(lacks, "; ")
}

func amount(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
