// SPDX-License-Identifier: Apache-2.0

package geo_test

import (
	"strings"
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

func TestCheckTellsNamesFromWrongCoordinates(t *testing.T) {
	for _, text := range []string{"", "48.26,11.67,1000", "-33.9 , 151.2", "My_Awesome_Apartment", "Munich, next to the river", "12 Main Street, 80331 Munich",
		"Zürich", "東京", "Rack 7", "R2,D2", "infirmary,east wing"} {
		assert.NoError(t, geo.Check(text), "%q", text)
	}
	for text, reason := range map[string]string{
		"91,0": "latitude 91 ", "0,-181": "longitude -181 ", "0,0,-1": "radius of -1 m", "NaN,0": "latitude NaN", "0,0,Inf": "radius of +Inf m",
		"48.26": "two or three numbers", "48.26;11.67": "two or three", "1,2,3,4": "two or three", "48.26 11.67": "two or three", ",": `"" is no number`,
		"48.26,": `"" is no number`, "48.26N,11.67E": `"48.26N" is no number`, "48.26°, 11.67°": "is no number", "48.26,11.67,1km": `"1km" is no number`,
		"48,26;11,67": "is no number", "48.1.2,11": "is no number", "80331": "two or three", "<1,2>": "is no number",
		"a\x00b": "cannot be shown", "two\nlines": "cannot be shown", "\xff": "cannot be shown", strings.Repeat("a", 257): "257 bytes",
	} {
		err := geo.Check(text)
		assert.ErrorIs(t, err, geo.ErrForm, "%q", text)
		assert.ErrorContains(t, err, reason, "%q", text)
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
		if err := geo.Check(text); ok && err != nil {
			t.Fatalf("%q is a place and refused: %v", text, err)
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
