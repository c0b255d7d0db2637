// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"errors"
	"path"
	"strconv"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// cpuPeriod is the period of the processor quota in microseconds; the kernel's and everyone's default.
const cpuPeriod = 100_000

// maxProcesses keeps a fork bomb inside its container; maxFiles is what servers commonly raise their limit to.
const (
	maxProcesses = 4096
	maxFiles     = 65536
)

// cgroupPath is where the container's limits are, below the root of each hierarchy.
func (r *Runtime) cgroupPath(id string) string {
	return path.Join("/oakestra", r.opts.WorkerID[:min(12, len(r.opts.WorkerID))], id)
}

// specOpts makes the container's OCI specification: containerd's default capabilities, masked paths and seccomp profile, no
// new privileges, and limits that the kernel enforces.
func (r *Runtime) specOpts(in runtime.Instance, image client.Image, namespace string) ([]oci.SpecOpts, error) {
	if in.Spec.Privileged && !r.opts.AllowPrivileged {
		return nil, errors.New("the descriptor asks for a privileged container, which this worker does not allow: drop it, or start NodeEngine with --allow-privileged")
	}
	mounts, err := r.writeFiles(in)
	if err != nil {
		return nil, err
	}
	opts := []oci.SpecOpts{
		oci.WithDefaultUnixDevices,
		oci.WithImageConfig(image),
		oci.WithEnv(environment(in)),
		oci.WithHostname(hostname(in)),
		oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: namespace}),
		oci.WithMounts(mounts),
		oci.WithCgroup(r.cgroupPath(in.ID())),
		oci.WithPidsLimit(maxProcesses),
		oci.WithRlimit(&specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: fileLimit(), Hard: fileLimit()}),
		withSysctl(map[string]string{"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}),
	}
	if len(in.Spec.Cmd) > 0 {
		opts = append(opts, oci.WithProcessArgs(in.Spec.Cmd...))
	}
	if in.Spec.VCPUs > 0 {
		opts = append(opts, oci.WithCPUCFS(int64(in.Spec.VCPUs)*cpuPeriod, cpuPeriod))
	}
	if in.Spec.MemoryMB > 0 {
		bytes := int64(in.Spec.MemoryMB) << 20
		opts = append(opts, oci.WithMemoryLimit(uint64(bytes)))
		if swapIsAccounted() {
			opts = append(opts, oci.WithMemorySwap(bytes)) // memory and swap together: no swap besides
		}
	}
	if in.Spec.Privileged {
		return append(opts, oci.WithPrivileged, oci.WithAllDevicesAllowed, oci.WithHostDevices, oci.WithNewPrivileges), nil
	}
	return append(opts, seccomp.WithDefaultProfile()), nil // last: it depends on the capabilities
}

// fileLimit is maxFiles, or what this machine lets a process have: in some virtual machines not even root may raise it.
func fileLimit() uint64 {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		return 1024 // what every system allows
	}
	return min(maxFiles, own.Max)
}

// environment is what the platform tells an instance of itself, and after it what the descriptor sets.
func environment(in runtime.Instance) []string {
	env := []string{
		"HOSTNAME=" + hostname(in),
		"OAK_INSTANCE=" + in.Spec.JobName + ".instance." + strconv.Itoa(in.Number),
		"OAK_INSTANCE_NUMBER=" + strconv.Itoa(in.Number),
		"OAK_SERVICE_ID=" + in.ServiceID,
		"OAK_JOB_NAME=" + in.Spec.JobName,
		"OAK_APPLICATION=" + in.Spec.ApplicationName,
	}
	if in.Spec.InstanceIP.IsValid() {
		env = append(env, "OAK_INSTANCE_IP="+in.Spec.InstanceIP.String())
	}
	if in.Spec.InstanceIPv6.IsValid() {
		env = append(env, "OAK_INSTANCE_IPV6="+in.Spec.InstanceIPv6.String())
	}
	for _, a := range in.Spec.Addresses {
		if a.Policy != wire.PolicyRoundRobin || !a.Address.IsValid() {
			continue
		}
		if a.Address.Is4() {
			env = append(env, "OAK_SERVICE_IP="+a.Address.String())
		} else {
			env = append(env, "OAK_SERVICE_IPV6="+a.Address.String())
		}
	}
	return append(env, in.Spec.Environment...)
}
