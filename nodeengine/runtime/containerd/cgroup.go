// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
)

// cgroupRoot is where cgroup file systems are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// swapIsAccounted reports whether a limit of memory and swap together can be set. Some v1 kernels lack it unless booted with
// swapaccount=1; runc copes with its lack on v2.
func swapIsAccounted() bool {
	if cgroups.Mode() == cgroups.Unified {
		return true
	}
	_, err := os.Stat(filepath.Join(cgroupRoot, "memory", "memory.memsw.limit_in_bytes"))
	return err == nil
}

// outOfMemory reports whether the kernel has killed a process of container id for its memory limit. It has to be asked before
// the task is deleted, with which the cgroup goes.
func (r *Runtime) outOfMemory(id string) bool {
	file := filepath.Join(cgroupRoot, "memory", r.cgroupPath(id), "memory.oom_control")
	if cgroups.Mode() == cgroups.Unified {
		file = filepath.Join(cgroupRoot, r.cgroupPath(id), "memory.events")
	}
	data, err := os.ReadFile(file)
	return err == nil && counter(data, "oom_kill") > 0
}

// counter returns the value of a "name value" line, 0 if there is none.
func counter(data []byte, name string) uint64 {
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		k, v, _ := strings.Cut(s.Text(), " ")
		if k == name {
			n, _ := strconv.ParseUint(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// withSysctl sets kernel parameters of the container's own namespaces.
func withSysctl(values map[string]string) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		if s.Linux.Sysctl == nil {
			s.Linux.Sysctl = map[string]string{}
		}
		for k, v := range values {
			s.Linux.Sysctl[k] = v
		}
		return nil
	}
}
