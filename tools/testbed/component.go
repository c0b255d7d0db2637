// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

// Component is one process of the testbed.
type Component struct {
	// Name is the program's, Host where it runs; [Machine] for the machine's own namespace.
	Name string    `json:"name"`
	Host string    `json:"host"`
	Spec proc.Spec `json:"spec"`
	// Ready is how to see that it answers.
	Ready Probe `json:"ready"`
	// Socket is the Unix socket or address that it listens on.
	Socket string `json:"socket,omitempty"`
	// Tree says that the processes that it forks are parts of it, which end when it is killed.
	Tree bool `json:"tree,omitempty"`
	// PIDFile is a file by which the component keeps a second one off. It is removed once the process is known to be dead:
	// the component itself might take a zombie for a living one.
	PIDFile string  `json:"pid_file,omitempty"`
	Process proc.ID `json:"process"`
}

// String returns COMPONENT@HOST, by which commands name it.
func (c Component) String() string { return c.Name + "@" + c.Host }

func (c Component) file() string { return filepath.Join(componentsDir, c.String()+".json") }

// start starts the process and records it.
func (c *Component) start() error {
	id, err := proc.Start(c.Spec)
	if err != nil {
		return fmt.Errorf("start %s: %w", c, err)
	}
	c.Process = id
	if err := statefile.Write(c.file(), c); err != nil {
		return fmt.Errorf("record process %d of %s: %w", id.PID, c, err)
	}
	return nil
}

// components returns what was recorded, in the order of their names.
func components() ([]Component, error) {
	files, err := filepath.Glob(filepath.Join(componentsDir, "*.json"))
	if err != nil {
		return nil, err // the pattern is constant
	}
	all := make([]Component, 0, len(files))
	for _, f := range files {
		var c Component
		if err := statefile.Read(f, &c); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read the record of a component: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// component returns the recorded component of that name, COMPONENT@HOST.
func component(name string) (*Component, error) {
	all, err := components()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(c Component) bool { return strings.EqualFold(c.String(), name) })
	if i < 0 {
		names := make([]string, len(all))
		for i, c := range all {
			names[i] = c.String()
		}
		return nil, fmt.Errorf("no component %q: there are %s", name, strings.Join(names, ", "))
	}
	return &all[i], nil
}

// env returns the environment of a process on host: nothing of the caller's, so that a proxy or a locale of the user's shell
// changes nothing.
func env(dir, host string, more ...string) []string {
	return append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", envDir + "=" + dir, envHost + "=" + host,
	}, more...)
}

// tail returns the last lines of a log, for an error message.
func tail(file string, lines int) string {
	const most = 16 << 10 // enough for any sensible number of lines
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	buf := make([]byte, min(info.Size(), most))
	if _, err := f.ReadAt(buf, info.Size()-int64(len(buf))); err != nil {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(buf)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
