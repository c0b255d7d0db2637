// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"encoding/binary"
	"math"
)

// class is what candidates are to all requests that ask for the same kind of candidate.
type class struct {
	verdicts []reason
	// far is how far each is from what requests have to be near to, in quarters of their thresholds; nil if they have to be near to nothing.
	far []int32
}

// steps is how finely distances are told apart: within a quarter of a threshold candidates count as equally near, lest one instance after the
// other goes to the nearest of many neighbours.
const steps = 4

// classOf returns the class of a request, made anew unless it is remembered.
func (p *Pool) classOf(req *Request) *class {
	p.key = appendKey(p.key[:0], req)
	if c := p.classes[string(p.key)]; c != nil {
		return c
	}
	if (len(p.classes)+1)*len(p.candidates) > maxEntries {
		clear(p.classes)
	}
	c := &class{verdicts: make([]reason, len(p.candidates))}
	if len(req.Near) > 0 {
		c.far = make([]int32, len(p.candidates))
	}
	for i := range p.candidates {
		why, far := suits(req, &p.candidates[i])
		c.verdicts[i] = why
		if c.far != nil {
			c.far[i] = int32(min(far*steps, math.MaxInt32))
		}
	}
	p.classes[string(p.key)] = c
	return c
}

// appendKey appends all that [suits] reads of a request.
func appendKey(b []byte, req *Request) []byte {
	flags := byte(0)
	for i, set := range []bool{req.HasAllowed, req.Need.GPUs > 0, req.Need.TPUs > 0, req.Need.BandwidthIn > 0, req.Need.BandwidthOut > 0, req.Privileged} {
		if set {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	b = appendText(b, req.Runtime)
	for _, list := range [...][]string{req.Architectures, req.Nodes, req.Allowed, req.Denied, req.Addons, req.VolumeDrivers} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, s := range list {
			b = appendText(b, s)
		}
	}
	for i := range req.Near {
		b = appendDemand(b, &req.Near[i])
	}
	return b
}

func appendDemand(b []byte, d *Demand) []byte {
	b = appendText(b, d.Kind)
	b = appendNumbers(b, d.Threshold, d.Limit)
	if d.Service {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(d.Targets)))
	for i := range d.Targets {
		t := &d.Targets[i]
		b = appendText(appendText(b, t.Candidate), t.Cluster)
		if t.Location != nil {
			b = appendNumbers(append(b, 1), t.Location.Latitude, t.Location.Longitude, t.RadiusKM)
		}
		if c := t.Coordinate; c != nil {
			b = appendNumbers(append(b, 2), c.Vector[0], c.Vector[1], c.Vector[2], c.Height, c.Error, t.SpreadMS)
		}
		b = append(b, 0)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendNumbers(b []byte, all ...float64) []byte {
	for _, v := range all {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// Forget has everything looked at anew, since round trips that were measured have changed: requests that are near to the same candidates are
// taken for alike.
func (p *Pool) Forget() { clear(p.classes) }
