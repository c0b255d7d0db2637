// SPDX-License-Identifier: Apache-2.0

package geo

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

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

// maxName bounds what people may call a place, in bytes.
const maxName = 256

// ErrForm is wrapped by the errors of [Check].
var ErrForm = errors.New("neither lat,lon[,radius] in degrees and metres, such as 48.26,11.67,1000, nor a name")

// number is what a part of coordinates looks like, however wrong.
var number = regexp.MustCompile(`(?i)^[+-]?([0-9][0-9.]*|\.[0-9]+|nan|inf(inity)?)(e[+-]?[0-9]+)?\s*(°|deg|[nsewo]|k?m)?$`)

// Check refuses a text that is neither a place as [Parse] reads it nor a name: one that people meant as coordinates and that nobody
// could read, and one that is too long or cannot be shown. No text at all is fine.
func Check(text string) error {
	if _, _, ok := Parse(text); ok || text == "" {
		return nil
	}
	switch {
	case len(text) > maxName:
		return fmt.Errorf("%w: it has %d bytes, %d at most", ErrForm, len(text), maxName)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%w: it has characters that cannot be shown", ErrForm)
	case !meant(text):
		return nil
	}
	parts := strings.Split(text, ",")
	if len(parts) != 2 && len(parts) != 3 {
		return fmt.Errorf("%w: two or three numbers with a comma between them are coordinates", ErrForm)
	}
	var v [3]float64
	for i, part := range parts {
		var err error
		if v[i], err = strconv.ParseFloat(strings.TrimSpace(part), 64); err != nil {
			return fmt.Errorf("%w: %q is no number", ErrForm, part)
		}
	}
	switch {
	case !(math.Abs(v[0]) <= 90):
		return fmt.Errorf("%w: latitude %v is not from -90 to 90", ErrForm, v[0])
	case !(math.Abs(v[1]) <= 180):
		return fmt.Errorf("%w: longitude %v is not from -180 to 180", ErrForm, v[1])
	}
	return fmt.Errorf("%w: a radius of %v m is none", ErrForm, v[2])
}

// meant reports whether who wrote a text meant coordinates: it has no word in it, or nothing but numbers between separators.
func meant(text string) bool {
	if !strings.ContainsFunc(text, unicode.IsLetter) {
		return true
	}
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(",;/", r) }) {
		if !number.MatchString(strings.TrimSpace(part)) {
			return false
		}
	}
	return true
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
