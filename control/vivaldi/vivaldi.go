// SPDX-License-Identifier: Apache-2.0

package vivaldi

import (
	"math"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Constants of the paper, and bounds that keep a liar from moving others far.
const (
	stepError    = 0.25 // c_e: how much one sample changes the error
	stepPosition = 0.25 // c_c: how much of the way one sample moves a host
	minHeight    = 0.01 // ms
	// MaxRTT in ms bounds what is believed of a round trip.
	MaxRTT = 10_000.0
	// maxExtent in ms bounds each component, so that arithmetic stays exact.
	maxExtent = 100_000.0
)

// New returns the coordinate of a host of which nothing was measured.
func New() wire.Coordinate { return wire.Coordinate{Height: minHeight, Error: 1} }

// Valid reports whether c is one that this package can have made.
func Valid(c wire.Coordinate) bool {
	for _, v := range c.Vector {
		if !(math.Abs(v) <= maxExtent) {
			return false
		}
	}
	return c.Height >= 0 && c.Height <= maxExtent && c.Error >= 0 && c.Error <= 1
}

// Distance estimates the round trip between two hosts in ms. It is symmetric, and above 0 even of a host to itself: callers know whether
// two are one.
func Distance(a, b wire.Coordinate) float64 {
	return norm(sub(a.Vector, b.Vector)) + (a.Height + b.Height)
}

// Update returns the coordinate of a host at own once it has measured a round trip of rtt ms to a host at other. Of what cannot be (rtt not
// above 0 or above [MaxRTT], an invalid coordinate) nothing is learned. Hosts at one place are driven apart in a direction that seed decides,
// which ought to differ between the two.
func Update(own, other wire.Coordinate, rtt float64, seed uint64) wire.Coordinate {
	if !(rtt > 0 && rtt <= MaxRTT) || !Valid(own) || !Valid(other) {
		return own
	}
	weight := own.Error / max(own.Error+other.Error, 1e-9)
	estimated := Distance(own, other)
	sample := math.Abs(estimated-rtt) / rtt
	alpha := stepError * weight
	own.Error = min(max(sample*alpha+own.Error*(1-alpha), 1e-3), 1)

	force := stepPosition * weight * (rtt - estimated)
	direction, length := unit(sub(own.Vector, other.Vector), seed)
	for i := range own.Vector {
		own.Vector[i] = bound(own.Vector[i]+direction[i]*force, -maxExtent)
	}
	if length > minHeight {
		own.Height = bound(own.Height+(own.Height+other.Height)*force/length, minHeight)
	}
	return own
}

// Mean returns the middle of coordinates, and how far the farthest of them is from it in ms. ok is false for none.
func Mean(all []wire.Coordinate) (mean wire.Coordinate, spread float64, ok bool) {
	if len(all) == 0 {
		return mean, 0, false
	}
	n := float64(len(all))
	for _, c := range all {
		for i := range mean.Vector {
			mean.Vector[i] += c.Vector[i] / n
		}
		mean.Error += c.Error / n
	}
	mean.Height = minHeight
	for _, c := range all {
		spread = max(spread, norm(sub(c.Vector, mean.Vector))+c.Height)
	}
	return mean, spread, true
}

func bound(v, least float64) float64 { return min(max(v, least), maxExtent) }

func sub(a, b [3]float64) [3]float64 { return [3]float64{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }

func norm(v [3]float64) float64 { return math.Sqrt(v[0]*v[0] + v[1]*v[1] + v[2]*v[2]) }

// unit returns v at length 1 and its length, or a direction made of seed if v has none.
func unit(v [3]float64, seed uint64) (direction [3]float64, length float64) {
	if length = norm(v); length > 1e-9 {
		return [3]float64{v[0] / length, v[1] / length, v[2] / length}, length
	}
	for i := range direction {
		// The finaliser of SplitMix64: the bits of neighbouring seeds have nothing in common.
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		direction[i] = float64(z>>11)/(1<<53) - 0.5
	}
	n := norm(direction)
	if n < 1e-9 {
		return [3]float64{1, 0, 0}, 0
	}
	for i := range direction {
		direction[i] /= n
	}
	return direction, 0
}
