// SPDX-License-Identifier: Apache-2.0

package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// wait bounds a lookup: a name that is not known here yet has to be asked for in the cluster.
const wait = 5 * time.Second

// ErrNoNamespace is returned where no process of the container can be found.
var ErrNoNamespace = errors.New("its network namespace is not seen from here")

// Container is who asks.
type Container struct {
	// Addr and MAC are those of its interface, inside.
	Addr netip.Addr
	MAC  string
	// Gateway is where it is answered.
	Gateway netip.Addr
}

// Lookup returns the addresses of a name as a container is told them. It returns an error that wraps [net.DNSError] if the resolver answers
// that there is no such name, and [ErrNoNamespace] if the container cannot be found.
func Lookup(ctx context.Context, name string, as Container) ([]netip.Addr, error) {
	ns, err := namespaceOf(as)
	if err != nil {
		return nil, fmt.Errorf("find the container at %s: %w", as.Addr, err)
	}
	defer func() { _ = ns.Close() }()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	resolver := net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, ns, network, netip.AddrPortFrom(as.Gateway, 53).String())
	}}
	// The final dot keeps the machine's own search list out of it.
	found, err := resolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(name, ".")+".")
	if err != nil {
		return nil, fmt.Errorf("look up %s at %s: %w", name, as.Gateway, err)
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), nil
}

// dial makes a socket in another network namespace, where it stays.
func dial(ctx context.Context, ns netns.NsHandle, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is thrown away with its namespace
		if err := netns.Set(ns); err != nil {
			done <- result{nil, fmt.Errorf("enter the container's network namespace: %w", err)}
			return
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// namespaceOf finds the container's network namespace among those of all processes that are seen. The address alone would not do: where
// several clusters' workers share a machine it may be given twice.
func namespaceOf(c Container) (netns.NsHandle, error) {
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return netns.None(), err
	}
	seen := map[uint64]bool{}
	var denied error
	for _, path := range links {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			if !errors.Is(err, os.ErrNotExist) {
				denied = err
			}
			continue
		}
		if seen[st.Ino] {
			continue
		}
		seen[st.Ino] = true
		ns, err := netns.GetFromPath(path)
		if err != nil {
			continue // its process has ended
		}
		if c.isIn(ns) {
			return ns, nil
		}
		_ = ns.Close()
	}
	if denied != nil {
		return netns.None(), fmt.Errorf("%w: some processes are hidden: %v", ErrNoNamespace, denied) //nolint:errorlint // which it is says nothing more
	}
	return netns.None(), ErrNoNamespace
}

func (c Container) isIn(ns netns.NsHandle) bool {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return false
	}
	defer h.Close()
	found, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return false
	}
	for _, a := range found {
		if have, ok := netip.AddrFromSlice(a.IP); !ok || have.Unmap() != c.Addr {
			continue
		}
		l, err := h.LinkByIndex(a.LinkIndex)
		return err == nil && l.Attrs().HardwareAddr.String() == c.MAC
	}
	return false
}
