// SPDX-License-Identifier: Apache-2.0

package wire

import "time"

// PathWorkerJoin is where a worker asks its cluster to be taken in and, with GET, whether its token would be accepted now (2xx or 401), PathWorkerRenew where it asks, with its certificate, for a new one.
const (
	PathWorkerJoin  = "/api/v1/workers/join"
	PathWorkerRenew = "/api/v1/workers/renew"
)

// Topics of the conversation between a cluster and the NodeEngine of the worker {id}; see [Topic].
const (
	TopicDesired     = "desired"      // cluster → NodeEngine, retained: Desired
	TopicInformation = "information"  // NodeEngine → cluster: Information
	TopicInstances   = "instances"    // NodeEngine → cluster: Instances
	TopicAliveEngine = "alive/engine" // NodeEngine → cluster, retained, also its last will: Alive
)

// Topic returns nodes/{worker}/{name}.
func Topic(worker, name string) string { return "nodes/" + worker + "/" + name }

// WorkerJoinRequest asks a cluster to take a worker in. The token is a bearer token in the Authorization header.
type WorkerJoinRequest struct {
	Format int `json:"format"`
	// CSR is a PEM certificate request. Its subject is ignored: the cluster issues the identity.
	CSR string `json:"csr"`
	// NetCSR is a second request, for the certificate that NodeEngine hands to NetManager; same identity, key of its own.
	NetCSR string `json:"net_csr"`
	// Name is what people call the worker: its host name. It identifies nothing.
	Name string `json:"name"`
	// Routes are the prefixes that the worker's own routing table holds, in CIDR form, so that the cluster can refuse overlaps.
	Routes []string `json:"routes,omitempty"`
}

// WorkerRenewRequest asks for new certificates for the keys that the worker has joined with. It is answered as a join is.
type WorkerRenewRequest struct {
	Format int `json:"format"`
	// CSR and NetCSR are PEM certificate requests, as in [WorkerJoinRequest].
	CSR    string `json:"csr"`
	NetCSR string `json:"net_csr"`
}

// WorkerJoinResponse answers a worker that joined.
type WorkerJoinResponse struct {
	JoinResponse
	NetCertificate string `json:"net_certificate"`
}

// Desired is the full list of what a worker is to run. An instance that it lacks is not thereby stopped: only a tombstone
// does that.
type Desired struct {
	Header
	Instances  []DesiredInstance `json:"instances"`
	Tombstones []Tombstone       `json:"tombstones"`
	// LostAfterSeconds is for how long the worker may be away before its instances are given to others; 0 from senders that do not say.
	LostAfterSeconds int `json:"lost_after_s,omitempty"`
}

// DesiredInstance is one instance that a worker is to run.
type DesiredInstance struct {
	InstanceKey
	Generation Generation   `json:"generation"`
	Spec       InstanceSpec `json:"spec"`
}

// Information is a worker's capacity and use, sent every 2 s and on a significant change.
type Information struct {
	Header
	Name         string   `json:"name"`
	Architecture string   `json:"architecture"`
	Runtimes     []string `json:"runtimes"`
	// Capacity is what the worker has in all.
	Capacity Slot `json:"capacity"`
	// CPUPercent and MemoryPercent are the use of the whole machine, 0 to 100.
	CPUPercent    float64 `json:"cpu_percent"`
	MemoryPercent float64 `json:"memory_percent"`
	// DiskPercent is the use of the file system that holds images.
	DiskPercent float64 `json:"disk_percent"`
	// Overlay is false while NetManager does not answer: nothing new can be attached.
	Overlay bool `json:"overlay"`
	// UsedPorts are the host ports that no instance can have there: those of the worker's own processes.
	UsedPorts HostPorts `json:"used_ports,omitzero"`
	// Location is where the worker says that it is; nil if it is where its cluster is.
	Location *Location `json:"location,omitempty"`
	// Addons are what the worker offers to services that ask for it, and VolumeDrivers the CSI drivers that answer there.
	Addons []string `json:"addons,omitempty"`
	// Privileged says whether the worker takes privileged containers; nil from workers that do not tell.
	Privileged    *bool    `json:"privileged,omitempty"`
	VolumeDrivers []string `json:"volume_drivers,omitempty"`
	Version       string   `json:"version"`
}

// Instances tells the states of a worker's instances.
type Instances struct {
	Header
	// Full says that Instances are all that the worker has; it is so on every connect.
	Full      bool             `json:"full"`
	Instances []WorkerInstance `json:"instances"`
	// Applied is the stamp of the desired state that the worker has stored.
	Applied Stamp `json:"applied"`
}

// WorkerInstance is one instance as its worker sees it.
type WorkerInstance struct {
	InstanceReport
	// Elsewhere says that the worker cannot take the instance as it is now, such as for want of a host port, while another worker
	// may be able to. The worker tries on until it is told to stop.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Unclaimed marks an instance that runs but that neither desired state nor a tombstone mentions.
	Unclaimed bool `json:"unclaimed,omitempty"`
	// Spec is sent for unclaimed instances, so that the cluster can adopt them.
	Spec *InstanceSpec `json:"spec,omitempty"`
}

// Alive says whether a program of a worker is there. A `gone` of an older session is ignored.
type Alive struct {
	Format int `json:"format"`
	// Session is raised, on disk, at every connect.
	Session uint64    `json:"session"`
	Present bool      `json:"present"`
	At      time.Time `json:"at"`
}
