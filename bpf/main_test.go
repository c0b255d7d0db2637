// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// otherLink is an interface besides loopback that packets of test runs can come in by.
const otherLink = 77

// inNamespace marks the process that the tests run in.
const inNamespace = "OAK_BPF_TEST_NAMESPACE"

// TestMain runs all tests in a network namespace of their own, where interfaces have the indices that tests want.
func TestMain(m *testing.M) {
	if os.Getenv(inNamespace) != "" {
		if err := addLink(otherLink); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		code := m.Run()
		if missing := unreached(); code == 0 && wholeRun() && len(missing) > 0 {
			fmt.Fprintln(os.Stderr, "FAIL: no test of packets leads to", missing)
			code = 1
		}
		os.Exit(code)
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "run the tests in a network namespace of their own, which needs root:", err)
		os.Exit(1)
	}
}

func addLink(index int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = "other", index
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far"}); err != nil {
		return fmt.Errorf("add a veth pair: %w", err)
	}
	link, err := netlink.LinkByName("other")
	if err != nil {
		return fmt.Errorf("find the veth pair: %w", err)
	}
	return netlink.LinkSetUp(link)
}

// context is the start of struct __sk_buff (linux/bpf.h), of which a test run takes the interface.
type context struct {
	_       [10]uint32
	Ifindex uint32
	_       [30]uint32
	GSOSegs uint32
	_       [2]uint32
	GSOSize uint32
}

// runFrom gives a packet that comes in by an interface to a program and returns its verdict and what became of the packet.
func (k *kernel) runFrom(ifindex uint32, prog *ebpf.Program, frame []byte) (uint32, []byte) {
	k.t.Helper()
	return k.runAs(context{Ifindex: ifindex}, prog, frame)
}

func (k *kernel) runAs(as context, prog *ebpf.Program, frame []byte) (uint32, []byte) {
	k.t.Helper()
	opts := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256), Context: as}
	verdict, err := prog.Run(opts)
	must(k.t, err)
	return verdict, opts.DataOut
}
