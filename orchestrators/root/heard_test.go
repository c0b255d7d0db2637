// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// forgotten is an instance of a service that was deployed after the dump which the database was restored from.
var forgotten = wire.InstanceKey{ServiceID: "0123456789abcdef01234567", Number: 3}

// forgottenSpec has the addresses that the next service and instance would get.
func forgottenSpec() wire.InstanceSpec {
	a := netip.MustParseAddr
	return wire.InstanceSpec{InstanceIP: a("10.30.0.1"), InstanceIPv6: a("fdff::1"), Addresses: []wire.ServiceAddress{
		{Policy: wire.PolicyRoundRobin, Address: a("10.30.0.2")}, {Policy: wire.PolicyRoundRobin, Address: a("fdff:2000::1")},
		{Policy: wire.PolicyClosest, Address: a("10.30.0.3")},
	}}
}

// TestAddressesOfWhatIsForgottenAreKeptFree until it has stopped.
func TestAddressesOfWhatIsForgottenAreKeptFree(t *testing.T) {
	s := start(t)
	c := s.joinWith("a", 4)
	second := wire.InstanceKey{ServiceID: forgotten.ServiceID, Number: 4}
	ack := c.holds(forgotten, nil, wire.InstanceSpec{})
	require.Equal(t, []wire.InstanceKey{forgotten}, ack.Unknown)
	require.Empty(t, c.holds(forgotten, ack.Unknown, forgottenSpec()).Unknown)
	require.Empty(t, c.holds(forgotten, nil, wire.InstanceSpec{}).Unknown, "all is known of it")
	other := forgottenSpec()
	other.InstanceIP, other.InstanceIPv6 = netip.MustParseAddr("10.30.0.4"), netip.MustParseAddr("fdff::2")
	c.holds(second, []wire.InstanceKey{second}, other)
	require.Empty(t, c.desired(wire.Stamp{}, 0).Removed, "it runs on")
	held := func() (n int) {
		require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM address WHERE service_id = $1 AND released_at IS NULL`, forgotten.ServiceID).Scan(&n))
		return n
	}
	require.Equal(t, 7, held())

	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	spec := c.desired(wire.Stamp{}, 0).Changed[0].Spec
	for _, a := range append(spec.Addresses, wire.ServiceAddress{Address: spec.InstanceIP}, wire.ServiceAddress{Address: spec.InstanceIPv6}) {
		for _, b := range append(forgottenSpec().Addresses, other.Addresses...) {
			require.NotEqual(t, b.Address, a.Address)
		}
		require.NotContains(t, []netip.Addr{forgottenSpec().InstanceIP, other.InstanceIP, forgottenSpec().InstanceIPv6, other.InstanceIPv6}, a.Address)
	}
	c.say(forgotten, 3, 2, wire.StateUndeployed)
	require.Equal(t, 5, held(), "the service has another instance")
	c.say(second, 3, 2, wire.StateUndeployed)
	require.Zero(t, held())
}

// TestNothingIsGivenOutBeforeClustersHaveTold: root, which has just started, may have forgotten numbers and addresses.
func TestNothingIsGivenOutBeforeClustersHaveTold(t *testing.T) {
	url := pgtest.New(t)
	s := startOn(t, url, semantic.DefaultRanges())
	c := s.joinWith("a", 4)
	service := s.register(s.admin, "app", map[string]any{})
	begin := time.Now()
	s.deploy(service)
	require.Less(t, time.Since(begin), heardWithin/2, "the cluster has come since the start")
	s.stop()

	s = startOn(t, url, semantic.DefaultRanges())
	c.s, c.revision = s, c.revision+10
	answered := make(chan int, 1)
	go func() {
		status, _, _ := request(http.DefaultClient, s.admin, http.MethodPost, s.plain+"/api/service/"+service+"/instance", nil)
		answered <- status
	}()
	key := wire.InstanceKey{ServiceID: service, Number: 1}
	ack := c.holds(key, nil, wire.InstanceSpec{})
	require.Equal(t, []wire.InstanceKey{key}, ack.Unknown)
	select {
	case <-answered:
		t.Fatal("answered before the cluster has told what it has")
	case <-time.After(10 * heardPoll):
	}
	c.holds(key, ack.Unknown, wire.InstanceSpec{InstanceIP: netip.MustParseAddr("10.30.7.7"), InstanceIPv6: netip.MustParseAddr("fdff::77")})
	require.Equal(t, http.StatusOK, <-answered)
	numbers := map[int]bool{}
	for _, i := range s.instances(service) {
		numbers[i.Number] = true
	}
	require.Equal(t, map[int]bool{0: true, 1: true, 2: true}, numbers, "what was adopted has its number, and the new one another")
	s.stop()

	// A cluster that is away is not waited for any longer.
	s = startOn(t, url, semantic.DefaultRanges())
	begin = time.Now()
	s.deploy(service)
	require.Greater(t, time.Since(begin), heardWithin/2)
	begin = time.Now()
	s.deploy(service)
	require.Less(t, time.Since(begin), heardWithin/2)
}
