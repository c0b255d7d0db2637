// SPDX-License-Identifier: Apache-2.0

package semantic

// Ports that the platform listens on unless configured otherwise. No service may expose one of them, on no worker: which machine
// will run an orchestrator tomorrow is not known today.
const (
	// TunnelPort is the UDP port of the overlay. Earlier releases of Oakestra use the same one, so firewalls are open for it
	// already.
	TunnelPort = 50103
	// RootPort serves the root orchestrator's REST API, ClusterPort the cluster orchestrator's, BrokerPort its MQTT.
	// The latter two's numbers serve workers' hellos by UDP, so that who has opened them need remember no others.
	RootPort    = 10000
	ClusterPort = 10100
	BrokerPort  = 10003
)

// PlatformPort returns what of the platform a port belongs to, or "" if services may have it.
func PlatformPort(port uint16) string {
	switch port {
	case TunnelPort:
		return "the overlay"
	case RootPort:
		return "the root orchestrator"
	case ClusterPort:
		return "the cluster orchestrator"
	case BrokerPort:
		return "the cluster's MQTT broker"
	}
	return ""
}
