// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"
	"time"
)

// Paths of the conversation between a cluster and its root. The cluster dials; {id} is the cluster's id. GET of the path to join by tells, by
// 204 or 401, whether the token that it shows would be accepted now.
const (
	PathClusterJoin    = "/api/v1/clusters/join"
	PathClusterDesired = "/api/v1/clusters/{id}/desired"
	PathClusterReport  = "/api/v1/clusters/{id}/report"
	PathClusterRenew   = "/api/v1/clusters/{id}/renew"
)

// MaxWait is the longest time that a blocking query for desired state is held open.
const MaxWait = 30 * time.Second

// ClusterJoinRequest asks root to take a cluster in. The token is a bearer token in the Authorization header.
type ClusterJoinRequest struct {
	Format int `json:"format"`
	// CSR is a PEM certificate request for the cluster's key. Its subject is ignored: root issues the identity.
	CSR string `json:"csr"`
	// Name is what people call the cluster; unique at its root.
	Name string `json:"name"`
	// Location is "lat,lon[,radius]" or free text.
	Location string `json:"location"`
}

// ClusterRenewRequest asks root, with the cluster's certificate, for a new one for the key that it has joined with. It is answered as a join is.
type ClusterRenewRequest struct {
	Format int `json:"format"`
	// CSR is a PEM certificate request.
	CSR string `json:"csr"`
}

// JoinResponse is the answer to a cluster or worker that joined.
type JoinResponse struct {
	Format int `json:"format"`
	// ID is the identity that the tier above has issued: 24 hexadecimal digits.
	ID string `json:"id"`
	// Certificate is the PEM client certificate; its common name is ID.
	Certificate string `json:"certificate"`
	// CA is the PEM certificate of the authority of the tier above.
	CA string `json:"ca"`
	// Brokers are MQTT addresses, HOST:PORT, to be tried in order; for workers only. An empty host is the host that answered.
	Brokers []string `json:"brokers,omitempty"`
}

// ClusterDesired answers the blocking query for a cluster's desired state.
type ClusterDesired struct {
	Header
	// Full says that Changed and Removed are all there is, not what changed since the asked revision. An instance that a full
	// list lacks is not thereby stopped: only Removed does that.
	Full bool `json:"full"`
	// Changed are instances that the cluster is to run.
	Changed []ClusterInstance `json:"changed"`
	// Removed are tombstones, repeated until the cluster reports the instance UNDEPLOYED. Their Move is the highest there is.
	Removed []Tombstone `json:"removed"`
	// Subnets are all blocks that root has leased to the cluster.
	Subnets []SubnetBlock `json:"subnets"`
	// Ranges are the overlay's address ranges.
	Ranges Ranges `json:"ranges"`
	// Streams are all that users wait for at present. They may be told several times.
	Streams []StreamRequest `json:"streams,omitempty"`
	// Orders are what is wanted of single workers: those that changed, or all of a full answer. A worker that they lack stays as it is.
	Orders []WorkerOrder `json:"worker_orders,omitempty"`
	// ShowWorkers numbers the last question for the cluster's workers. A cluster that has not answered this one tells of them, as far as it
	// does at all, in its next report.
	ShowWorkers uint64 `json:"show_workers,omitempty"`
}

// ClusterInstance is an instance that root has given to a cluster.
type ClusterInstance struct {
	InstanceKey
	Placement uint32       `json:"placement"`
	Spec      InstanceSpec `json:"spec"`
}

// SubnetBlock is a run of worker subnets that a cluster may hand out.
type SubnetBlock struct {
	// ID names the block for as long as it is leased.
	ID int64 `json:"id"`
	// V4 and V6 are the worker subnets of the block, paired by index: /26 and /120.
	V4 []netip.Prefix `json:"v4"`
	V6 []netip.Prefix `json:"v6"`
}

// Ranges are the overlay's address ranges, the same in the whole installation.
type Ranges struct {
	// Workers hold the worker subnets, Services the service and Instance IPs.
	WorkersV4  netip.Prefix `json:"workers_v4"`
	WorkersV6  netip.Prefix `json:"workers_v6"`
	ServicesV4 netip.Prefix `json:"services_v4"`
	ServicesV6 netip.Prefix `json:"services_v6"`
}

// MaxWantedSubnets bounds what root leases of worker subnets at once.
const MaxWantedSubnets = 256

// ClusterReportEvery is how often a cluster reports to root when there is nothing to tell.
const ClusterReportEvery = 5 * time.Second

// ClusterReport is what root learns of a cluster, every [ClusterReportEvery] and at once on a significant change.
type ClusterReport struct {
	Header
	// Applied is the stamp of the desired state that the cluster has stored.
	Applied   Stamp     `json:"applied"`
	Aggregate Aggregate `json:"aggregate"`
	// Full says that Instances are all that the cluster has, not only those that changed since the last acknowledged report.
	Full      bool             `json:"full"`
	Instances []InstanceReport `json:"instances"`
	// Workers answers the last question for the cluster's workers; nil if it is answered.
	Workers *WorkerList `json:"workers,omitempty"`
	// Specs are instances that root has asked for in its last acknowledgement, since it does not know them, with their specifications.
	// TellsSpecs says that this cluster answers such questions, SpecsTold that this is the answer to one.
	Specs      []ClusterInstance `json:"specs,omitempty"`
	TellsSpecs bool              `json:"tells_specs,omitempty"`
	SpecsTold  bool              `json:"specs_told,omitempty"`
	// RoundTrips are what the cluster's workers have measured to workers of other clusters, by their ids: the median in ms, 256 at most. It is
	// told with regular reports.
	RoundTrips map[string]float64 `json:"round_trips,omitempty"`
	// FreeSubnets is how many leased worker subnets are unused; root leases another block when fewer than 4 are.
	FreeSubnets int `json:"free_subnets"`
	// WantedSubnets is how many more will be wanted soon: workers wait for one, or many have just joined. Root leases as many blocks as
	// that takes, and at most [MaxWantedSubnets] subnets at once.
	WantedSubnets int `json:"wanted_subnets,omitempty"`
}

// ClusterReportAck acknowledges a report. Root has stored the report's instances when it answers.
type ClusterReportAck struct {
	Header
	// SendFull asks for a full report next.
	SendFull bool `json:"send_full"`
	// Unknown are instances of services that root knows, but not these: its database was restored. The cluster tells their
	// specifications in its next full report.
	Unknown []InstanceKey `json:"unknown,omitempty"`
}

// InstanceReport is the state of one instance as the tier below sees it.
type InstanceReport struct {
	InstanceKey
	Generation Generation `json:"generation"`
	State      State      `json:"state"`
	// Detail says in a person's words why the instance is in this state and what can be done.
	Detail string `json:"status_detail,omitempty"`
	// Since is when the instance entered the state.
	Since time.Time `json:"since"`
	// CPUPercent is the use of one processor, so up to 100 × vcpus; MemoryBytes what the instance's cgroup has charged.
	CPUPercent  float64 `json:"cpu_percent"`
	MemoryBytes int64   `json:"memory_bytes"`
	// Restarts counts restarts on the worker since this generation was created.
	Restarts int `json:"restarts,omitempty"`
	// Scheduling says why the cluster has placed the instance where it is, or not at all. It is sent when it is news; a worker says nothing
	// here.
	Scheduling *Explanation `json:"scheduling,omitempty"`
	// Leaving says that the instance's worker is drained and that no other one of the cluster can take it: it runs on until another cluster
	// has it, if there is one. Workers do not say it.
	Leaving bool `json:"leaving,omitempty"`
	// Ready is the verdict of the instance's readiness probe; nil for an instance that has none, which is ready once it runs, and from a
	// worker that has just started and not asked it yet, which changes nothing.
	Ready *bool `json:"ready,omitempty"`
}

// Aggregate is all that root knows of a cluster's workers.
type Aggregate struct {
	// Groups split the workers by architecture and runtime.
	Groups []AggregateGroup `json:"groups"`
	// CPUPercent and MemoryPercent are means over all workers, 0 to 100.
	CPUPercent    float64  `json:"cpu_percent"`
	MemoryPercent float64  `json:"memory_percent"`
	Location      string   `json:"location"`
	Addons        []string `json:"addons,omitempty"`
	VolumeDrivers []string `json:"volume_drivers,omitempty"`
	// Where is the place of the cluster's workers, as far as is known: within RadiusKM of a location, and within SpreadMS of the mean of their
	// network coordinates.
	Where Point `json:"where,omitzero"`
	// Gains counts how often capacity has appeared in the cluster: what it could not place before is worth another try.
	Gains uint64 `json:"gains,omitempty"`
}

// AggregateGroup sums the workers of one architecture that offer one runtime. A worker with several runtimes counts in
// several groups; free amounts are what is neither reserved nor lost.
type AggregateGroup struct {
	Architecture string `json:"architecture"`
	Runtime      string `json:"runtime"`
	Workers      int    `json:"workers"`
	Capacity     Slot   `json:"capacity"`
	Free         Slot   `json:"free"`
	// Largest is the largest free slot of a single worker: a sum cannot tell whether one instance fits.
	Largest Slot `json:"largest"`
	// Slots are free slots of single workers, none of which is within another: what fits in none of them fits nowhere. There are
	// [MaxSlots] at most, so that the last may be larger than any worker. Empty from clusters that tell Largest alone.
	Slots []Slot `json:"slots,omitempty"`
}

// MaxSlots bounds [AggregateGroup.Slots].
const MaxSlots = 8

// Slot is an amount of resources: processors, memory and storage in units of 2^20 bytes, accelerators, and what instances have set aside
// of a worker's uplink, in kbit/s. Without a word on the uplink its speed is not known, and nobody gets a share of it.
type Slot struct {
	VCPUs        float64 `json:"vcpus"`
	MemoryMB     int64   `json:"memory_mb"`
	StorageMB    int64   `json:"storage_mb"`
	GPUs         int     `json:"vgpus"`
	TPUs         int     `json:"vtpus,omitempty"`
	BandwidthIn  int64   `json:"bandwidth_in,omitempty"`
	BandwidthOut int64   `json:"bandwidth_out,omitempty"`
}
