// SPDX-License-Identifier: Apache-2.0

package load

import (
	"math/bits"
	"time"
)

// fineBits is how finely a histogram tells durations apart: to one part in 2^fineBits.
const fineBits = 6

// histogram counts durations in buckets whose width grows with them, so that recording one costs the same few nanoseconds
// whatever was recorded before.
type histogram struct {
	buckets [(64 - fineBits + 1) << fineBits]uint32
	total   uint64
}

func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	exponent := bits.Len64(v) - fineBits - 1
	if exponent <= 0 {
		return int(v)
	}
	return exponent<<fineBits + int(v>>exponent)
}

// lowest is the least duration of a bucket.
func lowest(i int) time.Duration {
	if i < 2<<fineBits {
		return time.Duration(i)
	}
	exponent := i>>fineBits - 1
	return time.Duration(uint64(i&(1<<fineBits-1)|1<<fineBits) << exponent)
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucket(d)]++
	h.total++
}

// quantile returns the duration below which the share q of all lies, 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total-1))
	var seen uint64
	for i, n := range h.buckets {
		seen += uint64(n)
		if seen > rank {
			return (lowest(i) + lowest(i+1)) / 2
		}
	}
	return 0
}
