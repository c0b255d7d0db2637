// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"
	"time"
)

// Paths of NetManager's local API, spoken by NodeEngine over a Unix socket.
const (
	PathLocalIdentity  = "/v1/identity"                // PUT LocalIdentity
	PathLocalEndpoints = "/v1/endpoints"               // GET []LocalEndpoint; PUT LocalAttach → LocalEndpoint
	PathLocalEndpoint  = "/v1/endpoints/{id}/{number}" // DELETE ?generation=P.M
	PathLocalNames     = "/v1/names"                   // GET []LocalName
	PathLocalStatus    = "/v1/status"                  // GET LocalStatus
)

// LocalIdentity is what NodeEngine hands to NetManager once the worker has joined. NetManager stores it.
type LocalIdentity struct {
	WorkerID string `json:"worker_id"`
	// Certificate, Key and CA are PEM.
	Certificate string   `json:"certificate"`
	Key         string   `json:"key"`
	CA          string   `json:"ca"`
	Brokers     []string `json:"brokers"`
}

// LocalAttach asks NetManager to attach a network namespace. Asking again with the same generation changes nothing; a higher
// one takes the endpoint over.
type LocalAttach struct {
	InstanceKey
	Generation Generation `json:"generation"`
	JobName    string     `json:"job_name"`
	// Organization is the id of the organisation that owns the instance: it resolves that one's names.
	Organization string `json:"organization"`
	// NetNS is the path of the network namespace.
	NetNS        string           `json:"netns"`
	InstanceIP   netip.Addr       `json:"instance_ip"`
	InstanceIPv6 netip.Addr       `json:"instance_ipv6"`
	Addresses    []ServiceAddress `json:"addresses"`
	// Ports are the worker's ports under which the outside reaches the instance.
	Ports []Port `json:"ports,omitempty"`
}

// LocalEndpoint is an attached namespace.
type LocalEndpoint struct {
	LocalAttach
	NamespaceIP   netip.Addr `json:"namespace_ip"`
	NamespaceIPv6 netip.Addr `json:"namespace_ipv6"`
	Gateway       netip.Addr `json:"gateway"`
	Interface     string     `json:"interface"`
	Tag           uint32     `json:"tag"`
}

// LocalName is a name that containers of this worker have looked up. Its resolution is empty while the cluster has not answered.
type LocalName struct {
	ResolvedName
	LookedUp time.Time `json:"looked_up"`
}

// LocalStatus is NetManager's own state.
type LocalStatus struct {
	WorkerID string `json:"worker_id"`
	// Ready is true once subnets are known, programs attached and endpoints can be attached.
	Ready bool `json:"ready"`
	// Reason says what is missing while Ready is false.
	Reason string `json:"reason,omitempty"`
	// Connected is true while the MQTT session is up.
	Connected bool `json:"connected"`
	// UsedPorts are the host ports that no instance can have: those that the worker's own processes listen on.
	UsedPorts HostPorts `json:"used_ports,omitzero"`
	Version   string    `json:"version"`
}

// LocalError is the body of every refusal of the local API.
type LocalError struct {
	Error string `json:"error"`
	// Elsewhere says that another worker may be able to do what this one cannot.
	Elsewhere bool `json:"elsewhere,omitempty"`
}
