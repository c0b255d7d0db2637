// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Client ids are the worker's id and one of these, so that no worker can end the session of another.
const (
	SuffixEngine = "-engine"
	SuffixNet    = "-net"
)

// The names of topics below nodes/ID/ that a worker may write: those of liveness, whose messages may be retained, and the others; and those
// that it may read, of which the last stands for all that begin with it, one a service. They are arrays, so that looking at one, which is done
// for each message, takes no memory.
func alive() [2]string { return [...]string{wire.TopicAliveEngine, wire.TopicAliveNet} }

func told() [4]string {
	return [...]string{wire.TopicInformation, wire.TopicInstances, wire.TopicNetEndpoints, wire.TopicNetInterest}
}

func heard() [6]string {
	return [...]string{wire.TopicDesired, wire.TopicStreams, wire.TopicNetNode, wire.TopicNetPeers, wire.TopicNetResolved, wire.TopicNetRoutes}
}

// Writes returns the names of the topics below nodes/ID/ that a worker may write.
func Writes() []string {
	a, t := alive(), told()
	return slices.Concat(a[:], t[:])
}

// Reads returns the names of the topics below nodes/ID/ that a worker may read. [wire.TopicNetRoutes] stands for all that begin with it.
func Reads() []string {
	h := heard()
	return h[:]
}

// mayWrite reports whether the worker may publish on topic. Retained messages are for liveness alone.
func mayWrite(worker, topic string, retain bool) bool {
	name, ok := strings.CutPrefix(topic, wire.Topic(worker, ""))
	if !ok {
		return false
	}
	a, t := alive(), told()
	return slices.Contains(a[:], name) || !retain && slices.Contains(t[:], name)
}

// mayRead reports whether the worker may subscribe to filter, or be sent a message with that topic. The one wildcard is the
// last level of the routes.
func mayRead(worker, filter string) bool {
	name, ok := strings.CutPrefix(filter, wire.Topic(worker, ""))
	if !ok {
		return false
	}
	h := heard()
	if name != wire.TopicNetRoutes && slices.Contains(h[:], name) {
		return true
	}
	service, ok := strings.CutPrefix(name, wire.TopicNetRoutes)
	return ok && service != "" && service != "#" && !strings.Contains(service, "/")
}

// clientOf reports whether a client id is one that the worker may use.
func clientOf(worker, clientID string) bool {
	return clientID == worker+SuffixEngine || clientID == worker+SuffixNet
}
