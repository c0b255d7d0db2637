// SPDX-License-Identifier: Apache-2.0

package load

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestHistogramTellsDurationsApart(t *testing.T) {
	for d := time.Duration(1); d < time.Minute; d = d*5/4 + 1 {
		i := bucket(d)
		require.LessOrEqual(t, lowest(i), d)
		require.Greater(t, lowest(i+1), d)
		require.LessOrEqual(t, float64(lowest(i+1)-lowest(i)), max(1, float64(d)/32), "%v", d)
	}
	var h histogram
	require.Zero(t, h.quantile(0.5))
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	require.InEpsilon(t, 500*time.Microsecond, h.quantile(0.5), 0.03)
	require.InEpsilon(t, 990*time.Microsecond, h.quantile(0.99), 0.03)
	h.add(time.Duration(1<<63 - 1))
	require.Equal(t, uint64(1001), h.total)
}

func TestTimesOfAMeasurementAddUp(t *testing.T) {
	r := between(moment{wall: 1000, ours: 10, left: 5}, moment{wall: 1500, ours: 460, left: 25})
	require.Equal(t, Result{Wall: 500, CPU: 450, Left: 20, Strangers: 30}, r)
	// The clocks are read one after the other, so that their sum may exceed the time between.
	require.Zero(t, between(moment{}, moment{wall: 100, ours: 101}).Strangers)
}

func TestSchedstat(t *testing.T) {
	d, err := parseSchedstat([]byte("123456789 42 7\n"))
	require.NoError(t, err)
	require.Equal(t, 123456789*time.Nanosecond, d)
	_, err = parseSchedstat([]byte("x"))
	require.ErrorContains(t, err, "parse schedstat")
}

func TestProcessClocksAreExact(t *testing.T) {
	own, err := readClock(processClock(unix.Getpid()))
	require.NoError(t, err)
	spin()
	later, err := readClock(unix.CLOCK_PROCESS_CPUTIME_ID)
	require.NoError(t, err)
	require.Greater(t, later, own)
	require.Less(t, later-own, time.Second)
}

func TestCountersAreShared(t *testing.T) {
	path := t.TempDir() + "/counters"
	require.NoError(t, CreateCounters(path))
	a, err := openCounters(path)
	require.NoError(t, err)
	b, err := openCounters(path)
	require.NoError(t, err)
	one, two := a.take(), a.take()
	require.NotSame(t, one, two)
	*one, *two = 3, 4
	require.Equal(t, uint64(7), b.sum())
}

func TestAddressesAreAsTheKernelReadsThem(t *testing.T) {
	a := addressOf(netip.MustParseAddrPort("192.0.2.1:258"))
	require.Equal(t, uintptr(unix.SizeofSockaddrInet4), a.size)
	v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
	require.Equal(t, [4]byte{192, 0, 2, 1}, v4.Addr)
	require.Equal(t, [2]byte{1, 2}, *(*[2]byte)(unsafe.Pointer(&v4.Port)))
	a = addressOf(netip.MustParseAddrPort("[2001:db8::1]:80"))
	require.Equal(t, uintptr(unix.SizeofSockaddrInet6), a.size)
	require.Equal(t, uint16(unix.AF_INET6), a.raw.Family)
}

func TestUnfitMeasurementsAreRefused(t *testing.T) {
	target := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}
	require.NoError(t, Client{Kind: Bulk, Targets: target, Streams: 4}.check())
	require.ErrorContains(t, Client{Kind: "x", Targets: target, Streams: 1}.check(), "none of")
	require.ErrorContains(t, Client{Kind: Bulk, Streams: 1}.check(), "no target")
	require.ErrorContains(t, Client{Kind: Bulk, Targets: target}.check(), "0 streams")
}
