// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// holds reports an instance that runs, and its specification if it was asked for.
func (c *fakeCluster) holds(key wire.InstanceKey, asked []wire.InstanceKey, spec wire.InstanceSpec) wire.ClusterReportAck {
	c.s.t.Helper()
	r := c.full(4)
	r.TellsSpecs, r.SpecsTold = true, len(asked) > 0
	r.Instances = []wire.InstanceReport{{InstanceKey: key, Generation: wire.Generation{Placement: 3, Move: 2}, State: wire.StateRunning, Since: time.Now()}}
	for _, k := range asked {
		r.Specs = append(r.Specs, wire.ClusterInstance{InstanceKey: k, Placement: 3, Spec: spec})
	}
	return c.report(r)
}

// An instance that the database does not know, being older, is adopted with its addresses; of all else that a cluster says of it nothing is
// believed.
func TestInstanceThatTheDatabaseLostIsAdopted(t *testing.T) {
	s := start(t)
	c := s.joinWith("a", 4)
	service := s.register(s.admin, "app", map[string]any{})
	key := wire.InstanceKey{ServiceID: service, Number: 5}
	ack := c.holds(key, nil, wire.InstanceSpec{})
	require.Equal(t, []wire.InstanceKey{key}, ack.Unknown)
	require.True(t, ack.SendFull)
	ack = c.holds(key, ack.Unknown, wire.InstanceSpec{Image: "evil", Privileged: true, InstanceIP: netip.MustParseAddr("10.30.3.3"), InstanceIPv6: netip.MustParseAddr("fdff::33")})
	require.Empty(t, ack.Unknown)
	list := s.instances(service)
	require.Len(t, list, 1)
	require.Equal(t, wire.StateRunning, list[0].Status)
	d := c.desired(wire.Stamp{}, 0)
	require.Len(t, d.Changed, 1)
	require.Equal(t, key, d.Changed[0].InstanceKey)
	require.EqualValues(t, 3, d.Changed[0].Placement)
	require.Equal(t, "registry.example/app:1", d.Changed[0].Spec.Image)
	require.False(t, d.Changed[0].Spec.Privileged)
	require.Equal(t, "10.30.3.3", d.Changed[0].Spec.InstanceIP.String())
	// The next one gets another number and other addresses.
	number, _ := s.deploy(service)
	require.Equal(t, 6, number)
}

func TestWhatCannotBeAdoptedRunsOn(t *testing.T) {
	s := start(t)
	c := s.joinWith("a", 4)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	taken := c.desired(wire.Stamp{}, 0).Changed[0].Spec
	key := wire.InstanceKey{ServiceID: service, Number: 5}
	for name, spec := range map[string]wire.InstanceSpec{
		"another's address":  taken,
		"outside the ranges": {InstanceIP: netip.MustParseAddr("192.0.2.1"), InstanceIPv6: netip.MustParseAddr("2001:db8::1")},
		"none":               {},
	} {
		c.holds(key, []wire.InstanceKey{key}, spec)
		require.Len(t, s.instances(service), 1, name)
		require.Empty(t, c.desired(wire.Stamp{}, 0).Removed, name)
	}
	// Nor is a service made up, a number too large, or what is told long after the start.
	c.holds(forgotten, []wire.InstanceKey{forgotten}, forgottenSpec())
	status, _ := s.call(s.admin, http.MethodGet, "/api/service/"+forgotten.ServiceID, nil)
	require.Equal(t, http.StatusNotFound, status)
	require.Empty(t, c.holds(wire.InstanceKey{ServiceID: service, Number: maxAdopted}, nil, wire.InstanceSpec{}).Unknown)
	_, err := s.pool.Exec(t.Context(), `UPDATE epoch SET value = $1`, time.Now().Add(-adoptWithin).UnixMilli())
	require.NoError(t, err)
	require.Empty(t, c.holds(key, nil, wire.InstanceSpec{}).Unknown)
}
