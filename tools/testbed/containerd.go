// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"fmt"
	"os"
	"os/exec"
)

// containerdConfig is a worker's containerd: its own root, state and opt folders, and only the plug-ins that are used.
const containerdConfig = `version = 2
root = %q
state = %q
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = %q

[plugins."io.containerd.internal.v1.opt"]
  path = %q
`

// containerd writes the configuration of a worker's containerd and returns the component.
func (t *Testbed) containerd(h Host) (Component, error) {
	path, err := exec.LookPath(progContainerd)
	if err != nil {
		return Component{}, fmt.Errorf("find containerd: %w: install the Debian package containerd", err)
	}
	l := t.layout()
	file := l.disk(h.Name, "containerd.toml")
	text := fmt.Sprintf(containerdConfig, l.disk(h.Name, progContainerd), run(h.Name, progContainerd),
		ContainerdSocket(h.Name), l.disk(h.Name, "containerd-opt"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return Component{}, fmt.Errorf("write the configuration of containerd on %s: %w", h.Name, err)
	}
	c := t.component(progContainerd, h.Name, path, "--config", file)
	c.Ready = Probe{Socket: ContainerdSocket(h.Name)}
	c.Socket = ContainerdSocket(h.Name)
	return c, nil
}
