// SPDX-License-Identifier: Apache-2.0

package device

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

//go:embed setup.sh
var setup string

// Repository is where a device has the repository.
const Repository = "/srv/oakestra"

// home is root's folder on a device.
const home = "/root"

// startWithin is how long a device may take to be made, endWithin to be gone.
const (
	startWithin = 30 * time.Second
	endWithin   = 20 * time.Second
)

// Options say what a device is made of.
type Options struct {
	// Host is the device's host on the underlay, made before; its name is the device's.
	Host string
	// Dir is a folder for the device's disk, on a file system that overlays can be made of. It has to exist.
	Dir string
	// Repository is the folder of which the device has a copy at [Repository].
	Repository string
	// Authority is a PEM certificate that the device trusts besides those of the machine; Nameserver is its resolver's address.
	Authority  []byte
	Nameserver string
}

// Device is a machine made of namespaces. It is started by [Start] and ended by End.
type Device struct {
	Name string
	dir  string

	cmd     *exec.Cmd
	hold    io.Closer // the device lives as long as this is open
	said    *os.File  // what its first process says
	log     *os.File
	cgroups []string // folders of the machine that are the device's roots
}

// Start makes a device.
func Start(ctx context.Context, o Options) (d *Device, err error) {
	d = &Device{Name: o.Host, dir: o.Dir}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start device %s: %w", o.Host, err), d.End())
		}
	}()
	resolver := "nameserver " + o.Nameserver + "\n"
	if o.Nameserver == "" {
		resolver = ""
	}
	for name, body := range map[string][]byte{"authority.pem": o.Authority, "resolv.conf": []byte(resolver), "setup.sh": []byte(setup)} {
		if err := os.WriteFile(filepath.Join(o.Dir, name), body, 0o600); err != nil {
			return nil, err
		}
	}
	// A link would lead astray once the root is another.
	repository, err := filepath.Abs(o.Repository)
	if err != nil {
		return nil, err
	}
	if err := os.Symlink(repository, filepath.Join(o.Dir, "repository")); err != nil {
		return nil, err
	}
	if err := d.makeCgroups(); err != nil {
		return nil, err
	}
	if d.log, err = os.Create(filepath.Join(o.Dir, "setup.log")); err != nil {
		return nil, err
	}
	return d, d.start(ctx)
}

// start runs the first process. It enters its cgroups before it gets a namespace of them, whose root they are then.
func (d *Device) start(ctx context.Context) error {
	// Where the device has no more to do with its maker, it ends: the first process reads from a pipe that its maker holds.
	d.cmd = exec.Command("bash", "-c", d.enterCgroups()+
		`exec unshare --mount --uts --ipc --cgroup --pid --fork --kill-child bash "$0/setup.sh" "$0" "$1"`, d.dir, d.Name)
	in, err := d.cmd.StdinPipe()
	if err != nil {
		return err
	}
	d.hold = in
	out, to, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	d.said = out
	d.cmd.Stdout, d.cmd.Stderr = to, d.log
	d.cmd.Env = Environment()
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := underlay.In(d.Name, d.cmd.Start); err != nil {
		d.cmd = nil
		return err
	}
	_ = to.Close()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = out.SetReadDeadline(time.Now()) })()
	line, err := bufio.NewReader(out).ReadString('\n')
	if line == "ready\n" {
		return nil
	}
	log, _ := os.ReadFile(d.log.Name()) // only for the message
	return fmt.Errorf("wait for its first process: %w; it said %q:\n%s", err, line, log)
}

// Environment is that of a user who has logged in as root.
func Environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8", "TERM=dumb"}
}

// Prefix is the command that runs another one on the device, in a folder there, with what [Environment] says if that is given to it.
func (d *Device) Prefix(folder string) ([]string, error) {
	pid, err := d.first()
	if err != nil {
		return nil, err
	}
	// By its control groups as well: what it starts is bounded and counted with the device.
	return []string{"bash", "-c", d.enterCgroups() + `exec nsenter --target "$0" --mount --uts --ipc --net --pid --cgroup --root --wdns="$1" -- "${@:2}"`,
		strconv.Itoa(pid), folder}, nil
}

// first returns the machine's number of the device's first process, the only child of the one that made its namespaces.
func (d *Device) first() (int, error) {
	if d.cmd == nil {
		return 0, errors.New("the device is not there")
	}
	pid := d.cmd.Process.Pid
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, fmt.Errorf("find the first process of device %s: %w", d.Name, err)
	}
	first, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0, fmt.Errorf("find the first process of device %s: %q: %w", d.Name, raw, err)
	}
	return first, nil
}

// Command returns a command that runs on the device, in root's folder there, once it is started.
func (d *Device) Command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	prefix, err := d.Prefix(home)
	if err != nil {
		return nil, err
	}
	all := append(append(prefix, name), args...)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.Env = Environment()
	cmd.WaitDelay = 5 * time.Second
	return cmd, nil
}

// Run runs a command on the device and returns what it has printed on both outputs, which the error shows too.
func (d *Device) Run(ctx context.Context, name string, args ...string) (string, error) {
	cmd, err := d.Command(ctx, name, args...)
	if err != nil {
		return "", err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("run %s on device %s: %w: %s", name, d.Name, err, out)
	}
	return string(out), nil
}

// File returns where the machine sees a file of the device.
func (d *Device) File(path string) (string, error) {
	pid, err := d.first()
	if err != nil {
		return "", err
	}
	return filepath.Join("/proc", strconv.Itoa(pid), "root", path), nil
}

// End ends everything on the device, and takes it away but for its folder. A second one does nothing.
func (d *Device) End() error {
	var errs []error
	if d.hold != nil {
		_ = d.hold.Close()
		d.hold = nil
	}
	if d.cmd != nil {
		kill := time.AfterFunc(endWithin, func() { _ = d.cmd.Process.Kill() })
		_ = d.cmd.Wait() // its status is that of a process that was ended
		kill.Stop()
		d.cmd = nil
	}
	for _, f := range []*os.File{d.said, d.log} {
		if f != nil {
			_ = f.Close()
		}
	}
	errs = append(errs, d.removeCgroups())
	return errors.Join(errs...)
}
