// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"math"
	"strconv"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Parse reads "lat,lon[,radius]" in degrees and metres, the radius as kilometres; false for any other text, and for places that there are
// none of.
func Parse(text string) (at wire.Location, radiusKM float64, ok bool) {
	parts := strings.Split(text, ",")
	if len(parts) != 2 && len(parts) != 3 {
		return at, 0, false
	}
	var v [3]float64
	for i, part := range parts {
		f, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return at, 0, false
		}
		v[i] = f
	}
	at = wire.Location{Latitude: v[0], Longitude: v[1]}
	if !Valid(at) || !(v[2] >= 0) || math.IsInf(v[2], 0) {
		return wire.Location{}, 0, false
	}
	return at, v[2] / 1000, true
}

// Valid reports whether there is such a place.
func Valid(at wire.Location) bool {
	return math.Abs(at.Latitude) <= 90 && math.Abs(at.Longitude) <= 180
}

// Distance returns the great-circle distance of two places in kilometres, by the haversine formula. It is 20,016 at most.
func Distance(a, b wire.Location) float64 {
	const earthRadius, degree = 6371.0, math.Pi / 180
	h := func(a, b float64) float64 { s := math.Sin((b - a) * degree / 2); return s * s }
	x := h(a.Latitude, b.Latitude) + math.Cos(a.Latitude*degree)*math.Cos(b.Latitude*degree)*h(a.Longitude, b.Longitude)
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, x)))
}
