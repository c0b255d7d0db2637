// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"cmp"
	"fmt"
	"net/netip"
)

// Generation fences the copies of one instance. Root raises Placement each time it gives the instance to a cluster; the
// cluster raises Move (from 1, anew for each placement) each time it gives it to a worker. The higher wins everywhere.
type Generation struct {
	Placement uint32 `json:"placement"`
	Move      uint32 `json:"move"`
}

// Compare returns -1, 0 or 1 as g is older than, the same as, or newer than h.
func (g Generation) Compare(h Generation) int {
	return cmp.Or(cmp.Compare(g.Placement, h.Placement), cmp.Compare(g.Move, h.Move))
}

// Packed returns the generation as one integer that orders as [Generation.Compare] does; it is what BPF maps hold.
func (g Generation) Packed() uint64 { return uint64(g.Placement)<<32 | uint64(g.Move) }

// UnpackGeneration is the inverse of [Generation.Packed].
func UnpackGeneration(v uint64) Generation {
	return Generation{Placement: uint32(v >> 32), Move: uint32(v)}
}

func (g Generation) String() string { return fmt.Sprintf("%d.%d", g.Placement, g.Move) }

// InstanceKey names an instance for its whole life, wherever it runs.
type InstanceKey struct {
	// ServiceID is the service's id: 24 hexadecimal digits.
	ServiceID string `json:"service_id"`
	// Number is the instance's number within its service, from 0.
	Number int `json:"instance_number"`
}

func (k InstanceKey) String() string { return fmt.Sprintf("%s.%d", k.ServiceID, k.Number) }

// Compare orders keys by service, then by number.
func (k InstanceKey) Compare(o InstanceKey) int {
	return cmp.Or(cmp.Compare(k.ServiceID, o.ServiceID), cmp.Compare(k.Number, o.Number))
}

// Tombstone says that an instance has to stop: this generation of it and all lower ones. It is the only thing that stops a
// workload, and is repeated until the tier below reports the instance UNDEPLOYED.
type Tombstone struct {
	InstanceKey
	Generation Generation `json:"generation"`
}

// State is where an instance is in its life.
type State string

// The states of an instance, in the order in which a healthy one passes them, and the named scheduling failures.
const (
	StateRequested        State = "REQUESTED"
	StateClusterScheduled State = "CLUSTER_SCHEDULED"
	StateNodeScheduled    State = "NODE_SCHEDULED"
	StateCreating         State = "CREATING"
	StateCreated          State = "CREATED"
	StateRunning          State = "RUNNING"
	StateCompleted        State = "COMPLETED"
	StateFailed           State = "FAILED"
	StateDead             State = "DEAD"
	StateUndeployed       State = "UNDEPLOYED"

	StateNoActiveCluster   State = "NoActiveClusterWithCapacity"
	StateClusterNotFound   State = "TargetClusterNotFound"
	StateClusterNotActive  State = "TargetClusterNotActive"
	StateClusterNoCapacity State = "TargetClusterNoCapacity"
	StateNoWorkerCapacity  State = "NO_WORKER_CAPACITY"
	StateNoQualifiedWorker State = "NO_QUALIFIED_WORKER_FOUND"
)

// Policy is how a service address chooses among the instances of its service.
type Policy string

// The policies. Each has an address of its own in both families.
const (
	PolicyRoundRobin    Policy = "rr"
	PolicyClosest       Policy = "closest"
	PolicyUnderutilized Policy = "underutilized"
	// PolicyInstance marks an Instance IP: it always means that one instance.
	PolicyInstance Policy = "instance"
)

// ServiceAddress is one address of a service and what it stands for.
type ServiceAddress struct {
	Policy  Policy     `json:"policy"`
	Address netip.Addr `json:"address"`
}

// InstanceSpec is all that a worker has to know to run an instance.
type InstanceSpec struct {
	// JobName is APP.APPNS.SERVICE.SERVICENS, the name that people know the service by.
	JobName          string `json:"job_name"`
	ApplicationName  string `json:"application_name"`
	ApplicationNS    string `json:"application_namespace"`
	ServiceName      string `json:"service_name"`
	ServiceNamespace string `json:"service_namespace"`
	// Organization is the id of the organisation that owns the application.
	Organization string `json:"organization"`
	// Runtime is the descriptor's virtualization; "container" for OCI containers.
	Runtime string `json:"runtime"`
	// Image is the descriptor's code.
	Image string `json:"image"`
	// Platform is the OCI platform to pull, such as linux/arm64; empty for the worker's own.
	Platform    string   `json:"platform,omitempty"`
	Arch        []string `json:"arch,omitempty"`
	Cmd         []string `json:"cmd,omitempty"`
	Environment []string `json:"environment,omitempty"`
	// VCPUs is the enforced processor limit in processors; 0 is no limit.
	VCPUs int `json:"vcpus"`
	// MemoryMB is the enforced memory limit in units of 2^20 bytes; 0 is no limit.
	MemoryMB int `json:"memory_mb"`
	// StorageMB is the storage asked for, in units of 2^20 bytes.
	StorageMB  int    `json:"storage_mb"`
	GPUs       int    `json:"vgpus,omitempty"`
	TPUs       int    `json:"vtpus,omitempty"`
	OneShot    bool   `json:"one_shot,omitempty"`
	Privileged bool   `json:"privileged,omitempty"`
	Ports      []Port `json:"ports,omitempty"`
	// BandwidthIn and BandwidthOut are what the instance is to have of its worker's uplink, in kbit/s.
	BandwidthIn  int `json:"bandwidth_in,omitempty"`
	BandwidthOut int `json:"bandwidth_out,omitempty"`
	// Restart, Liveness and Readiness say how the worker looks after the instance; nil for the defaults.
	Restart   *RestartPolicy `json:"restart,omitempty"`
	Liveness  *Probe         `json:"liveness_probe,omitempty"`
	Readiness *Probe         `json:"readiness_probe,omitempty"`
	// Secrets are given to the instance, RegistryCredentials to the registry that has its image.
	Secrets             []SecretRef `json:"secrets,omitempty"`
	RegistryCredentials *SecretRef  `json:"registry_credentials,omitempty"`
	// Labels are the service's own, for people and for the runtime.
	Labels map[string]string `json:"labels,omitempty"`
	// Revision is the revision of the service's descriptor that this is made of, from 1; 0 from senders that know none.
	Revision int `json:"revision,omitempty"`
	// Addons and VolumeDrivers must be there where the instance runs; Near is what it has to be near to.
	Addons        []string    `json:"addons,omitempty"`
	VolumeDrivers []string    `json:"volume_drivers,omitempty"`
	Near          []Proximity `json:"near,omitempty"`
	// Node is the list of worker names of a direct constraint; empty for any worker.
	Node []string `json:"node,omitempty"`
	// InstanceIP and InstanceIPv6 are the instance's own addresses for life.
	InstanceIP   netip.Addr `json:"instance_ip"`
	InstanceIPv6 netip.Addr `json:"instance_ipv6"`
	// Addresses are the addresses of the service, a policy and family each.
	Addresses []ServiceAddress `json:"addresses"`
}
