// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// clear removes what a testbed has kept in its folder, save its logs. A folder without the testbed's mark is left alone.
func (l layout) clear() error {
	if _, err := os.Stat(l.marker()); err != nil {
		return nil
	}
	for _, p := range []string{l.postgres(), l.passwordFile(), filepath.Join(l.dir, "hosts")} {
		if err := os.RemoveAll(p); err != nil {
			return fmt.Errorf("clear %s: %w", l.dir, err)
		}
	}
	return nil
}

// clearLogs removes the logs of the run before.
func (l layout) clearLogs() error {
	if _, err := os.Stat(l.marker()); err != nil {
		return nil
	}
	if err := os.RemoveAll(l.logs()); err != nil {
		return fmt.Errorf("remove old logs: %w", err)
	}
	return nil
}

// unmountUnder unmounts everything that is mounted under dir.
func unmountUnder(dir string) error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	defer func() { _ = f.Close() }()
	var points []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // an overlay of many layers makes a long line
	for lines.Scan() {
		const pointField = 4
		fields := strings.Fields(lines.Text())
		if len(fields) <= pointField {
			continue
		}
		if p := unescape(fields[pointField]); strings.HasPrefix(p, dir+"/") {
			points = append(points, p)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	var errs []error
	for _, p := range slices.Backward(points) { // later mounts lie on earlier ones
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// unescape undoes the octal escapes of mountinfo, proc(5).
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// removeShimSockets removes the sockets of containerd's shims, which are outside any folder that can be configured; the
// folders of the containers say where they are. host may be "*".
func removeShimSockets(host string) error {
	files, err := filepath.Glob(filepath.Join(runDir, "hosts", host, progContainerd, "io.containerd.runtime.v2.task", "*", "*", "address"))
	if err != nil {
		return err // the pattern is constant
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue // went with its container meanwhile
		}
		socket := strings.TrimPrefix(strings.TrimSpace(string(raw)), "unix://")
		if !strings.HasPrefix(socket, "/run/containerd/s/") {
			continue // not a place that containerd uses
		}
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the socket of a container's shim: %w", err)
		}
	}
	return nil
}
