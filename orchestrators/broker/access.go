// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Client ids are the worker's id and one of these, so that no worker can end the session of another.
const (
	SuffixEngine = "-engine"
	SuffixNet    = "-net"
)

// mayWrite reports whether the worker may publish on topic. Retained messages are for liveness alone.
func mayWrite(worker, topic string, retain bool) bool {
	name, ok := strings.CutPrefix(topic, wire.Topic(worker, ""))
	if !ok {
		return false
	}
	switch name {
	case wire.TopicAliveEngine, wire.TopicAliveNet:
		return true
	case wire.TopicInformation, wire.TopicInstances, wire.TopicNetEndpoints, wire.TopicNetInterest:
		return !retain
	}
	return false
}

// mayRead reports whether the worker may subscribe to filter, or be sent a message with that topic. The one wildcard is the
// last level of the routes.
func mayRead(worker, filter string) bool {
	name, ok := strings.CutPrefix(filter, wire.Topic(worker, ""))
	if !ok {
		return false
	}
	switch name {
	case wire.TopicDesired, wire.TopicStreams, wire.TopicNetNode, wire.TopicNetPeers, wire.TopicNetResolved:
		return true
	}
	service, ok := strings.CutPrefix(name, wire.TopicNetRoutes)
	return ok && service != "" && service != "#" && !strings.Contains(service, "/")
}

// clientOf reports whether a client id is one that the worker may use.
func clientOf(worker, clientID string) bool {
	return clientID == worker+SuffixEngine || clientID == worker+SuffixNet
}
