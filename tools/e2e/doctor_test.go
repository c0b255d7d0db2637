// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/tools/doctor"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// patient is a host of the testbed that is examined.
type patient struct {
	t    *testing.T
	s    *scene.Scene
	host string
	role string
}

// command runs oak doctor on the host. Wrap, if there is any, are the words of a command that runs another one.
func (p patient) command(wrap []string, args ...string) *exec.Cmd {
	p.t.Helper()
	dir, err := bin()
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	p.t.Cleanup(cancel)
	argv := slices.Concat([]string{"--net=" + underlay.Path(p.host)}, wrap, []string{filepath.Join(dir, "oak"), "doctor"}, args)
	return exec.CommandContext(ctx, "nsenter", argv...)
}

// examine returns the findings.
func (p patient) examine(wrap []string, args ...string) []doctor.Finding {
	p.t.Helper()
	return p.report(p.role, wrap, args...).Findings
}

// report returns all that is told of a role, or without one.
func (p patient) report(role string, wrap []string, args ...string) doctor.Report {
	p.t.Helper()
	all := slices.Concat([]string{role, "-v", "-o", "json"}, args)
	if role == "" {
		all = all[1:]
	}
	cmd := p.command(wrap, all...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var r doctor.Report
	if parse := json.Unmarshal(out, &r); parse != nil {
		p.t.Fatalf("oak doctor on %s: %v, %v\n%s\n%s", p.host, err, parse, out, errs.String())
	}
	var exit *exec.ExitError
	if len(r.Findings) == 0 && err != nil || len(r.Findings) > 0 && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		p.t.Fatalf("oak doctor on %s ends with %v, and has %d findings", p.host, err, len(r.Findings))
	}
	return r
}

// finds holds that exactly this is found, and that it says what was planted and how it is cured.
func (p patient) finds(what, id, word string, wrap []string, args ...string) {
	p.t.Helper()
	got := p.examine(wrap, args...)
	var all []string
	for _, f := range got {
		all = append(all, f.ID+": "+f.What)
	}
	if len(got) != 1 || got[0].ID != id {
		p.t.Errorf("%s: found %q, want %s alone", what, all, id)
		return
	}
	f := got[0]
	if !strings.Contains(f.What, word) || f.Why == "" || len(f.Cure) == 0 || f.Cure[0] == "" {
		p.t.Errorf("%s: the finding is %+v, want it to say %q, why, and a cure", what, f, word)
	}
	p.t.Logf("%s: %s", what, all[0])
}

// silent holds that nothing is printed on a healthy host.
func (p patient) silent(what string, wrap []string, args ...string) {
	p.t.Helper()
	out, err := p.command(wrap, append([]string{p.role}, args...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		p.t.Errorf("%s: oak doctor says %v, %q; want nothing", what, err, out)
	}
}

// inMounts has a command run in a mount namespace of its own, after what plant does there.
func inMounts(plant string) []string {
	return []string{"unshare", "--mount", "--propagation", "private", "sh", "-ec", plant + "\n" + `exec "$@"`, "sh"}
}

// TestDoctor examines hosts of a healthy testbed, and then plants faults one by one: of each exactly that one is found.
func TestDoctor(t *testing.T) {
	s := raise(t, 2)
	worker := patient{t, s, "c1-w1", "worker"}
	neighbours(t, s)
	worker.silent("a healthy worker", nil)
	patient{t, s, "c1", "cluster"}.silent("a healthy cluster", nil)
	if unsynchronised(t) {
		patient{t, s, "root", "root"}.finds("a healthy root on a machine without a time service", "clock-unsynchronised", "clock", nil)
	} else {
		patient{t, s, "root", "root"}.silent("a healthy root", nil)
	}
	found := false
	for _, c := range worker.report("", nil).Checks { // whatever else is installed on the machine of the test
		found = found || c.Role == doctor.Worker && c.Check == "programs" && c.State == doctor.Held
	}
	if !found {
		t.Error("without a role: the worker that runs is not seen")
	}

	worker.finds("no BTF", "btf-missing", "/sys/kernel/btf/vmlinux", inMounts("mount -t tmpfs none /sys/kernel/btf"))
	worker.finds("BPF file system missing", "bpffs-missing", "/sys/fs/bpf", inMounts("umount -l /sys/fs/bpf"))
	worker.finds("an old kernel", "kernel-old", "Linux 2.6", []string{"setarch", "--uname-2.6"})
	worker.finds("no CAP_NET_ADMIN", "capability-missing", "CAP_NET_ADMIN", []string{"setpriv", "--bounding-set=-net_admin"})
	worker.finds("no CAP_NET_RAW", "capability-missing", "CAP_NET_RAW", []string{"setpriv", "--bounding-set=-net_raw"})
	worker.finds("no CAP_SYS_ADMIN, no CAP_BPF", "capability-missing", "CAP_BPF", []string{"setpriv", "--bounding-set=-sys_admin,-bpf"})
	for name, fault := range map[string]func(*testing.T, patient){
		"containerd": withoutContainerd, "port": withATakenPort, "mtu": withAWrongMTU, "disk": withAFullDisk, "token": withWrongTokens,
		"clock": withAWrongClock, "hook": withAStrangersPrograms, "cluster": withoutCluster, "database": withoutDatabase, "netcfg": withWrongNetcfg, "peer": withoutPeer,
	} {
		t.Run(name, func(t *testing.T) { fault(t, patient{t, s, "c1-w1", "worker"}) })
		worker.silent("after the fault "+name, nil)
	}
}

// neighbours has the two workers deal with one another.
func neighbours(t *testing.T, s *scene.Scene) {
	t.Helper()
	application(t, s, "hello.json")
	deploy(t, s, "server", 2)
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SettleHost(t.Context(), "c1-w1", v.RoundRobin, 2); err != nil {
		t.Fatal(err)
	}
}

func unsynchronised(t *testing.T) bool {
	t.Helper()
	var x unix.Timex
	state, err := unix.Adjtimex(&x)
	if err != nil {
		t.Fatal(err)
	}
	return x.Status&unix.STA_UNSYNC != 0 || state == unix.TIME_ERROR
}

func withoutContainerd(t *testing.T, p patient) {
	fault(t, testbed.Kill, "containerd@c1-w1")
	p.finds("containerd is down", "containerd-unreachable", testbed.ContainerdSocket(p.host), nil)
	fault(t, testbed.Restart, "containerd@c1-w1")
	fault(t, testbed.Stop, "containerd@c1-w1")
	p.finds("containerd hangs", "containerd-unreachable", "no answer", nil)
	fault(t, testbed.Cont, "containerd@c1-w1")
}

func withATakenPort(t *testing.T, p patient) {
	p.silent("a free port", nil, "--port", "6000")
	var taken net.Listener
	if err := underlay.In(p.host, func() (err error) {
		taken, err = net.Listen("tcp", "127.0.0.1:6000")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p.finds("a taken port", "port-taken", fmt.Sprintf("e2e.test (process %d)", os.Getpid()), nil, "--port", "6000")
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
}

// ip runs ip(8) on a host.
func (p patient) ip(host string, args ...string) {
	p.t.Helper()
	if _, err := p.s.Testbed.Run(p.t.Context(), host, append([]string{"ip"}, args...)...); err != nil {
		p.t.Fatal(err)
	}
}

func withAWrongMTU(_ *testing.T, p patient) {
	p.ip(p.host, "link", "set", "eth0", "mtu", "1300")
	p.finds("the uplink's MTU is too small", "mtu-low", "1300", nil)
	p.ip(p.host, "link", "set", "eth0", "mtu", "1500")
	// Whoever is there takes less, and the underlay does not say so.
	p.ip("c1", "link", "set", "eth0", "mtu", "1400")
	p.finds("the way to the cluster is narrow", "path-mtu", "those of 140", nil) // and some, for a VLAN's tag
	p.ip("c1", "link", "set", "eth0", "mtu", "1500")
}

func withAFullDisk(t *testing.T, p patient) {
	dir := filepath.Join(testbed.DefaultDir, "hosts", p.host, "NodeEngine")
	small := t.TempDir()
	plant := func(fill string) []string {
		return inMounts(fmt.Sprintf("mount -t tmpfs -o size=80m none %[1]s; cp %[2]s/*.json %[1]s/; %[3]s", small, dir, fill))
	}
	p.silent("a small disk", plant("true"), "--state-dir", small)
	p.finds("a full disk", "disk-full", "MiB are free in "+small, plant(fmt.Sprintf("head -c 30M /dev/zero > %s/full", small)), "--state-dir", small)
	p.finds("no inodes", "inodes-out", "inodes are free in "+small, plant("mount -o remount,nr_inodes=500 "+small), "--state-dir", small)
	p.finds("a read-only disk", "disk-read-only", small, plant("mount -o remount,ro "+small), "--state-dir", small)
}

func withoutCluster(t *testing.T, p patient) {
	fault(t, testbed.Stop, "cluster-orchestrator@c1")
	p.finds("the cluster hangs", "above-unreachable", "no answer", nil)
	fault(t, testbed.Cont, "cluster-orchestrator@c1")
	fault(t, testbed.Kill, "cluster-orchestrator@c1")
	p.finds("the cluster is away", "above-unreachable", "refused", nil)
	fault(t, testbed.Restart, "cluster-orchestrator@c1")
	p.connected()
}

// connected waits until nothing is to be found any more: what was away is back.
func (p patient) connected() {
	p.t.Helper()
	until(p.t, time.Minute, func(context.Context) error {
		if found := p.examine(nil); len(found) > 0 {
			return fmt.Errorf("%+v", found)
		}
		return nil
	})
}

func withoutDatabase(t *testing.T, p patient) {
	cluster := patient{t, p.s, "c1", "cluster"}
	cluster.finds("Postgres is elsewhere", "database-unreachable", "/nowhere", nil, "--database", "postgres:///c1?host=/nowhere&user=postgres")
	cluster.finds("no such database", "database-unreachable", "does not exist", nil, "--database", p.s.Testbed.DatabaseURL("nobody"))
	cluster.finds("a database that takes no writes", "database-read-only", "no writes", nil, "--database", p.s.Testbed.DatabaseURL("c1")+"&default_transaction_read_only=on")
}

func withWrongNetcfg(t *testing.T, p patient) {
	file := filepath.Join(t.TempDir(), "netcfg.json")
	for text, want := range map[string][]string{
		`{"ClusterMqttPort": "many"}`:       {"netcfg-wrong", "ClusterMqttPort"},
		`{"NodePublicAdress": "192.0.2.1"}`: {"netcfg-unknown-key", "NodePublicAdress"},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.finds("netcfg.json with "+text, want[0], want[1], nil, "--netcfg", file)
	}
}

func withoutPeer(t *testing.T, p patient) {
	fault(t, testbed.Stop, "NetManager@c1-w2")
	p.ip("c1-w2", "link", "set", "eth0", "down")
	until(t, time.Minute, func(context.Context) error {
		if found := p.examine(nil); len(found) == 0 {
			return errors.New("nothing is found yet")
		}
		return nil
	})
	p.finds("the other worker is cut off", "peer-unreachable", "worker ", nil)
	p.ip("c1-w2", "link", "set", "eth0", "up")
	fault(t, testbed.Cont, "NetManager@c1-w2")
	p.connected()
}
