// SPDX-License-Identifier: Apache-2.0

package geo_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]struct {
		at     wire.Location
		radius float64
	}{
		"48.26,11.67,1000":  {wire.Location{Latitude: 48.26, Longitude: 11.67}, 1},
		"-33.9 , 151.2":     {wire.Location{Latitude: -33.9, Longitude: 151.2}, 0},
		"0,0":               {wire.Location{}, 0},
		"90,-180,0":         {wire.Location{Latitude: 90, Longitude: -180}, 0},
		"48.2620,1.167e1,5": {wire.Location{Latitude: 48.262, Longitude: 11.67}, 0.005},
	} {
		at, radius, ok := geo.Parse(text)
		assert.True(t, ok, text)
		assert.Equal(t, want.at, at, text)
		assert.InDelta(t, want.radius, radius, 1e-9, text)
	}
	for _, text := range []string{"", "Munich", "48.26", "48.26;11.67", "1,2,3,4", "91,0", "0,181", "NaN,0", "0,Inf", "0,0,-1", "0,0,NaN", "0,0,Inf", ",", "1,"} {
		_, _, ok := geo.Parse(text)
		assert.False(t, ok, "%q", text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("48.14,11.58,1000")
	f.Add("Munich, next to the river")
	f.Add("NaN,1e400")
	f.Fuzz(func(t *testing.T, text string) {
		at, radius, ok := geo.Parse(text)
		if ok && (!geo.Valid(at) || !(radius >= 0)) {
			t.Fatalf("%q gives %v, %v", text, at, radius)
		}
	})
}

func TestDistance(t *testing.T) {
	munich, berlin := wire.Location{Latitude: 48.137, Longitude: 11.575}, wire.Location{Latitude: 52.52, Longitude: 13.405}
	require.InDelta(t, 504, geo.Distance(munich, berlin), 1)
	require.InDelta(t, 20015, geo.Distance(wire.Location{Latitude: 90}, wire.Location{Latitude: -90}), 1)
	require.InDelta(t, 222, geo.Distance(wire.Location{Longitude: 179}, wire.Location{Longitude: -179}), 1, "across the date line")
	place := rapid.Custom(func(t *rapid.T) wire.Location {
		return wire.Location{Latitude: rapid.Float64Range(-90, 90).Draw(t, "lat"), Longitude: rapid.Float64Range(-180, 180).Draw(t, "lon")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := place.Draw(t, "a"), place.Draw(t, "b"), place.Draw(t, "c")
		require.InDelta(t, geo.Distance(a, b), geo.Distance(b, a), 1e-6)
		require.InDelta(t, 0, geo.Distance(a, a), 1e-6)
		require.LessOrEqual(t, geo.Distance(a, b), 20016.0)
		require.LessOrEqual(t, geo.Distance(a, c), geo.Distance(a, b)+geo.Distance(b, c)+1e-3)
	})
}
