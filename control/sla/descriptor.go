// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"encoding/json"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Version is the only version of the descriptor that is read and written.
const Version = "v2.0"

// Descriptor is a deployment descriptor: what a user posts to create applications.
type Descriptor struct {
	// SLAVersion is [Version].
	SLAVersion string `json:"sla_version"`
	// CustomerID is kept but decides nothing: the owner is whoever is logged in.
	CustomerID   string        `json:"customerID"`
	Applications []Application `json:"applications"`
	// Args is kept for files of earlier releases; nothing reads it.
	Args []string `json:"args,omitempty"`
	// Extra holds the fields that this version does not know, as compact JSON.
	Extra map[string]json.RawMessage `json:"-"`
	// Warnings are remarks in a person's words on what is legal but probably a mistake, such as `vcpu` for `vcpus`.
	Warnings []string `json:"-"`
}

// Application groups services under a name.
type Application struct {
	// ApplicationID is empty on create; the server gives it.
	ApplicationID string         `json:"applicationID"`
	Name          string         `json:"application_name"`
	Namespace     string         `json:"application_namespace"`
	Description   string         `json:"application_desc,omitempty"`
	Microservices []Microservice `json:"microservices"`
	// Constraints hold for all services of the application, beside their own.
	Constraints []Constraint               `json:"constraints,omitempty"`
	Extra       map[string]json.RawMessage `json:"-"`
}

// Microservice is one service of an application: what to run, with what limits, under which addresses.
type Microservice struct {
	// ID is empty on create; the server gives it.
	ID        string `json:"microserviceID"`
	Name      string `json:"microservice_name"`
	Namespace string `json:"microservice_namespace"`
	// Virtualization names the runtime as the user wrote it; see [Microservice.Runtime].
	Virtualization string `json:"virtualization"`
	// Code is the image; for unikernels a comma-separated list of archives, in the order of Arch.
	Code string   `json:"code"`
	Cmd  []string `json:"cmd,omitempty"`
	// Environment holds entries of the form KEY=VALUE.
	Environment []string `json:"environment,omitempty"`
	// MemoryMB is the memory limit in units of 2^20 bytes, 0 to [MaxMemoryMB]; 0 is no limit.
	MemoryMB int `json:"memory"`
	// VCPUs is the processor limit, 0 to [MaxVCPUs]; 0 is no limit.
	VCPUs int `json:"vcpus"`
	VGPUs int `json:"vgpus"`
	VTPUs int `json:"vtpus"`
	// BandwidthIn and BandwidthOut are set aside of the worker's uplink, in kbit/s. They are reserved, not enforced: a worker that does not
	// tell its uplink's speed gets no service that asks for them.
	BandwidthIn  int `json:"bandwidth_in"`
	BandwidthOut int `json:"bandwidth_out"`
	// StorageMB is reserved of the worker's disk, in units of 2^20 bytes. It is not enforced: containers share a file system without quotas.
	StorageMB int `json:"storage"`
	// Port lists exposed ports as the user wrote them; see [Microservice.Ports].
	Port string `json:"port,omitempty"`
	// OneShot says that an exit with status 0 completes the service, which is then not restarted.
	OneShot      bool           `json:"one_shot,omitempty"`
	Privileged   bool           `json:"privileged,omitempty"`
	Addresses    *Addresses     `json:"addresses,omitempty"`
	Constraints  []Constraint   `json:"constraints,omitempty"`
	Connectivity []Connectivity `json:"connectivity,omitempty"`
	Volumes      []Volume       `json:"volumes,omitempty"`
	// Arch lists the architectures, as GOARCH names them, that the code exists for; empty for any.
	Arch []string `json:"arch,omitempty"`
	// Platform is the OCI platform to pull, such as linux/arm64; empty for the worker's own.
	Platform   string   `json:"platform,omitempty"`
	AddedFiles []string `json:"added_files,omitempty"`
	Args       []string `json:"args,omitempty"`
	State      string   `json:"state,omitempty"`
	// AddedFiles, Args, ViolationStrategy and TargetNode are refused unless they are empty, and State is ignored with a warning: nothing has
	// ever read them.
	ViolationStrategy string `json:"sla_violation_strategy,omitempty"`
	TargetNode        string `json:"target_node,omitempty"`
	// Replicas is how many instances the server keeps, 0 to [MaxReplicas]; nil leaves it to whoever asks for instances.
	Replicas *int `json:"replicas,omitempty"`
	// Restart, Liveness and Readiness say how its worker looks after an instance; nil for the defaults.
	Restart   *wire.RestartPolicy `json:"restart,omitempty"`
	Liveness  *wire.Probe         `json:"liveness_probe,omitempty"`
	Readiness *wire.Probe         `json:"readiness_probe,omitempty"`
	// Update says how a changed descriptor reaches the instances; nil for the defaults.
	Update *Update `json:"update,omitempty"`
	// RegistryCredentials names the secret that opens the image's registry.
	RegistryCredentials string           `json:"registry_credentials,omitempty"`
	Secrets             []wire.SecretRef `json:"secrets,omitempty"`
	// Labels are for people, selection and the runtime.
	Labels map[string]string          `json:"labels,omitempty"`
	Extra  map[string]json.RawMessage `json:"-"`
}

// Addresses are service addresses that the user asks for; the server allocates those that are not set.
type Addresses struct {
	RRIP              netip.Addr                 `json:"rr_ip,omitzero"`
	RRIPv6            netip.Addr                 `json:"rr_ip_v6,omitzero"`
	ClosestIP         netip.Addr                 `json:"closest_ip,omitzero"`
	ClosestIPv6       netip.Addr                 `json:"closest_ip_v6,omitzero"`
	UnderutilizedIP   netip.Addr                 `json:"underutilized_ip,omitzero"`
	UnderutilizedIPv6 netip.Addr                 `json:"underutilized_ip_v6,omitzero"`
	Extra             map[string]json.RawMessage `json:"-"`
}

// Constraint narrows where a service may run.
type Constraint struct {
	// Type is one of [ConstraintTypes].
	Type string `json:"type"`
	// Area and Location are where latency and distance are measured to. Location is "lon;lat" in degrees. Area is that too, or a name: of a
	// place that root was told (--area), of a cluster, or the text that clusters give as their location. Users' round trips are not
	// measured: of an area, distance bounds them, as fast as light goes in fibre; of a cluster's, network coordinates estimate them.
	Area     string `json:"area,omitempty"`
	Location string `json:"location,omitempty"`
	// Cluster names a cluster, Node workers; see [Constraint.Nodes].
	Cluster string `json:"cluster,omitempty"`
	Node    string `json:"node,omitempty"`
	// Threshold is the most that is allowed: in ms of round trip for latency, in km for geo; above 0.
	Threshold float64 `json:"threshold,omitempty"`
	// Rigidness says how rigid the threshold is, above 0 to 1; 0 or none stands for 1. Nothing is placed beyond threshold ÷ rigidness, and
	// between the two only where nothing within the threshold has room: at 0.8, a threshold of 20 ms lets 25 ms pass if need be.
	Rigidness float64 `json:"rigidness,omitempty"`
	// ConvergenceTime is for how many seconds what is measured may be beyond that limit, while the instance runs, before the cluster looks
	// for a better worker; 0 or none for ever. The instance moves only if there is one.
	ConvergenceTime float64 `json:"convergence_time,omitempty"`
	// Needs lists add-ons, Allowed clusters.
	Needs   []string `json:"needs,omitempty"`
	Allowed []string `json:"allowed,omitempty"`
	// Denied lists clusters to keep out of, and Spread says that instances go evenly over clusters; for the type clusters.
	Denied []string                   `json:"denied,omitempty"`
	Spread bool                       `json:"spread,omitempty"`
	Extra  map[string]json.RawMessage `json:"-"`
}

// How a changed descriptor reaches the instances of a service.
const (
	UpdateRolling  = "rolling"  // some at a time; the default
	UpdateRecreate = "recreate" // all are stopped, then all started
)

// Update is the strategy for updates of a service.
type Update struct {
	// Strategy is [UpdateRolling] or [UpdateRecreate]; empty for the former.
	Strategy string `json:"strategy,omitempty"`
	// MaxUnavailable is how many instances may be away at a time; 0 for the default, 1.
	MaxUnavailable int `json:"max_unavailable,omitempty"`
	// ProgressDeadlineSeconds is how long one step may take before the update has failed; 0 for the default, 300.
	ProgressDeadlineSeconds int `json:"progress_deadline_s,omitempty"`
	// Rollback says whether a failed update is taken back; nil for true.
	Rollback *bool `json:"rollback,omitempty"`
}

// Connectivity says how well a service has to reach another one: the nearest instance of that counts. While nothing of it runs, any place
// is near enough.
type Connectivity struct {
	// TargetMicroserviceID is the id of a service of the same organisation, or the name (NAME or NAME.NAMESPACE) of one of the same application.
	TargetMicroserviceID string                     `json:"target_microservice_id"`
	Constraints          []LinkConstraint           `json:"con_constraints"`
	Extra                map[string]json.RawMessage `json:"-"`
}

// LinkConstraint is one demand on the path between two services.
type LinkConstraint struct {
	// Type is "latency", with Threshold in ms of round trip, or "bandwidth", with Threshold in kbit/s, which are set aside of the uplink of the
	// instance's worker in both directions, beside bandwidth_in and bandwidth_out. Rigidness and ConvergenceTime are those of [Constraint], and
	// mean nothing for bandwidth.
	Type            string                     `json:"type"`
	Threshold       float64                    `json:"threshold,omitempty"`
	Rigidness       float64                    `json:"rigidness,omitempty"`
	ConvergenceTime float64                    `json:"convergence_time,omitempty"`
	Extra           map[string]json.RawMessage `json:"-"`
}

// Volume is a CSI volume to mount.
type Volume struct {
	ID string `json:"volume_id"`
	// Driver is the name that the CSI driver gives itself.
	Driver string `json:"csi_driver"`
	// MountPath is an absolute path in the container; empty for /mnt/csi/ and the volume's id.
	MountPath string `json:"mount_path,omitempty"`
	// Config goes to the driver as it is.
	Config map[string]string          `json:"config,omitempty"`
	Extra  map[string]json.RawMessage `json:"-"`
}
