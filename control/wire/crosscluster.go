// SPDX-License-Identifier: Apache-2.0

package wire

import "net/netip"

// Paths of the conversation by which clusters learn of one another's workers, through root. The cluster dials; {id} is its id.
const (
	PathClusterOverlay = "/api/v1/clusters/{id}/overlay"        // POST ClusterOverlay → ClusterOverlayAck
	PathClusterAbroad  = "/api/v1/clusters/{id}/overlay/abroad" // GET ?held=&wait= → ClusterAbroad, a blocking query
)

// ClusterOverlay is what root has to know of a cluster's overlay on behalf of other clusters: what is wanted there that the
// cluster does not have alone, and the instances that others want of it. Names and addresses of other workers stay below.
type ClusterOverlay struct {
	Header
	// Full says that the lists are all there is; else they are what changed, and Gone what ended, since what root has acknowledged.
	Full    bool           `json:"full"`
	Workers []NetPeer      `json:"workers,omitempty"` // all that Wants and Offers name
	Wants   []OverlayWant  `json:"wants,omitempty"`
	Names   []NameKey      `json:"names,omitempty"`
	Offers  []OverlayOffer `json:"offers,omitempty"`
	Gone    OverlayGone    `json:"gone,omitzero"`
}

// OverlayWant is an address that workers of the cluster want. Without workers only the name of its owner is wanted.
type OverlayWant struct {
	Address netip.Addr `json:"address"`
	Workers []string   `json:"workers,omitempty"`
}

// OverlayOffer are the instances of a service that can be reached in the cluster, of one that [AbroadService] asks to offer. An empty list
// says that there are none.
type OverlayOffer struct {
	ServiceID string          `json:"service_id"`
	Instances []RouteInstance `json:"instances"`
}

// OverlayGone names what a [ClusterOverlay] lists no more.
type OverlayGone struct {
	Workers []string     `json:"workers,omitempty"`
	Wants   []netip.Addr `json:"wants,omitempty"`
	Names   []NameKey    `json:"names,omitempty"`
	Offers  []string     `json:"offers,omitempty"`
}

// IsZero reports whether nothing is gone.
func (g OverlayGone) IsZero() bool {
	return len(g.Workers)+len(g.Wants)+len(g.Names)+len(g.Offers) == 0
}

// ClusterOverlayAck acknowledges a [ClusterOverlay], which root has stored.
type ClusterOverlayAck struct {
	Header
	// SendFull asks for everything next.
	SendFull bool `json:"send_full"`
}

// ClusterAbroad is what a cluster has to know of others. The cluster stores it, so that it outlives root.
type ClusterAbroad struct {
	Header
	// Held names what the cluster holds once it has applied this; it goes with the next question. Root may forget it.
	Held string `json:"held"`
	// Full says that the lists are all there is; else they are what changed, and Gone what ended, since the held.
	Full bool `json:"full"`
	// Alone says that there is no other cluster, so that nobody else has what this one does not know.
	Alone    bool            `json:"alone,omitempty"`
	Services []AbroadService `json:"services,omitempty"`
	Workers  []NetPeer       `json:"workers,omitempty"`
	Answers  []AbroadAnswer  `json:"answers,omitempty"`
	Gone     AbroadGone      `json:"gone,omitzero"`
}

// AbroadService is what other clusters have to do with a service.
type AbroadService struct {
	ServiceID    string           `json:"service_id"`
	JobName      string           `json:"job_name"`
	Organization string           `json:"organization"`
	Addresses    []ServiceAddress `json:"addresses"`
	Ports        []Port           `json:"ports,omitempty"`
	// Instances are those in other clusters. One without a peer cannot be reached (yet).
	Instances []RouteInstance `json:"instances,omitempty"`
	// Complete says that every cluster that has instances of the service has told of them. Else one that Instances lacks may be there
	// as before.
	Complete bool `json:"complete"`
	// Callers are the workers of other clusters that want the service.
	Callers []string `json:"callers,omitempty"`
	// Offer asks the cluster to tell of its own instances: others want them.
	Offer bool `json:"offer,omitempty"`
	// Shared says that this cluster and others have instances, so that the cluster's own workers may want those as well.
	Shared bool `json:"shared,omitempty"`
}

// AbroadAnswer says whose a wanted address or name is: ServiceID is empty if nobody has it. Exactly one of the two is set.
type AbroadAnswer struct {
	Address   netip.Addr `json:"address,omitzero"`
	Name      NameKey    `json:"name,omitzero"`
	ServiceID string     `json:"service_id,omitempty"`
}

// AbroadGone names what a [ClusterAbroad] lists no more.
type AbroadGone struct {
	Services  []string     `json:"services,omitempty"`
	Workers   []string     `json:"workers,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Names     []NameKey    `json:"names,omitempty"`
}

// IsZero reports whether nothing is gone.
func (g AbroadGone) IsZero() bool {
	return len(g.Services)+len(g.Workers)+len(g.Addresses)+len(g.Names) == 0
}
