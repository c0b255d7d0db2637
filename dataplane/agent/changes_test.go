// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
)

// TestRoutesComeAsChanges: NetManager says that it takes changes, does what they say, goes on with them after it was killed, and asks for all
// of a service's routes when one was lost on the way.
func TestRoutesComeAsChanges(t *testing.T) {
	h, c := lonelyHost(t), newCluster(t, workerID)
	w := &worker{host: h, c: c, subnet: subnet}
	w.join()
	path0, _ := container(t, "first")
	path1, _ := container(t, "second")
	first := w.attach(0, path0)
	var second wire.LocalEndpoint
	_, err := h.ask(http.MethodPut, wire.PathLocalEndpoints, attachRequest(1, path1), &second)
	require.NoError(t, err)
	chosen := func() (n uint32) {
		dir, err := datapath.MapDir(h.cfg.BPFFS, h.cfg.Name)
		require.NoError(t, err)
		maps, err := bpf.OpenMaps(dir)
		require.NoError(t, err)
		defer func() { require.NoError(t, maps.Close()) }()
		for _, s := range maps.Services.All(&err) {
			n += s.Count
		}
		require.NoError(t, err)
		return n
	}
	held := func() (s wire.Stamp, takes bool) {
		var i wire.NetInterest
		if c.last(wire.TopicNetInterest, &i) && len(i.Addresses) > 0 {
			s = i.Addresses[0].Held
		}
		return s, i.RouteChanges
	}

	routes := c.routes(first)
	topic := wire.TopicNetRoutes + serviceID
	c.publish(topic, routes, false)
	h.eventually("the service is known", func() bool { return chosen() == 1 })

	change := wire.NetRoutes{Header: c.stamp(), ServiceID: serviceID, Base: routes.Stamp, Instances: c.routes(second).Instances}
	c.publish(topic, change, false)
	h.eventually("one has come", func() bool { return chosen() == 2 })

	h.eventually("what is held is stored", func() bool {
		s, found, err := folder(h.cfg.StateDir).readRoutes()
		return err == nil && found && len(s.Routes) == 1 && s.Routes[0].Stamp == change.Stamp && len(s.Routes[0].Instances) == 2
	})
	c.forget()
	h.kill()
	h.start()
	h.eventually("it says what it holds", func() bool { s, takes := held(); return takes && s == change.Stamp })
	last := change
	change = wire.NetRoutes{Header: c.stamp(), ServiceID: serviceID, Base: last.Stamp, Instances: []wire.RouteInstance{}, Without: []int{0}}
	c.publish(topic, change, false)
	h.eventually("one has gone", func() bool { return chosen() == 1 })

	c.forget()
	lost := c.stamp()
	c.publish(topic, wire.NetRoutes{Header: c.stamp(), ServiceID: serviceID, Base: lost.Stamp, Instances: routes.Instances}, false)
	h.eventually("all is asked for", func() bool { s, takes := held(); return takes && s.IsZero() })
	require.EqualValues(t, 1, chosen())
	routes.Header = c.stamp()
	routes.Instances = append(routes.Instances, c.routes(second).Instances...)
	c.publish(topic, routes, false)
	h.eventually("all is there", func() bool { return chosen() == 2 })
}
