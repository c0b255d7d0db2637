// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// The interfaces that packets of test runs come in by.
const (
	clientLink = 1 // loopback
	serverLink = 77
	hostLink   = 99 // far end of the worker's own pair
)

const inNamespace = "OAK_MODEL_TEST_NAMESPACE"

// TestMain runs all tests, and the processes that a fuzzer starts, in a network namespace of their own.
func TestMain(m *testing.M) {
	if os.Getenv(inNamespace) != "" {
		os.Exit(m.Run())
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

// addLink makes the interfaces besides loopback; the namespace is this process's and those that it starts.
func addLink() error {
	if _, err := netlink.LinkByIndex(hostLink); err == nil {
		return nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = "other", serverLink
	err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far"})
	host := netlink.NewLinkAttrs()
	host.Name, host.Index = "host", hostLink
	err = errors.Join(err, netlink.LinkAdd(&netlink.Veth{LinkAttrs: host, PeerName: "host-far"}))
	if _, there := netlink.LinkByIndex(serverLink); err != nil && there != nil {
		return fmt.Errorf("add a veth pair: %w", err)
	}
	link, err := netlink.LinkByIndex(serverLink)
	if err != nil {
		return fmt.Errorf("find the veth pair: %w", err)
	}
	if host, err := netlink.LinkByIndex(hostLink); err != nil || netlink.LinkSetUp(host) != nil {
		return fmt.Errorf("set the worker's own link up: %w", err)
	}
	return netlink.LinkSetUp(link)
}
