// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// lookEvery is how often the worker's resolv.conf is looked at, when somebody asks.
	lookEvery = time.Second
	// maxServers is how many of its servers are used, as libraries do.
	maxServers = 3
	// maxResolvConf bounds the file, in bytes.
	maxResolvConf = 1 << 16
)

// upstreams are the worker's own resolvers, as its resolv.conf has them now.
type upstreams struct {
	path string
	log  *slog.Logger
	// own are the addresses of this resolver, which it never forwards to.
	own func() []netip.AddrPort

	mu     sync.Mutex
	looked time.Time
	last   fs.FileInfo
	failed bool
	list   []netip.AddrPort
}

// servers returns them in order. A file that cannot be read, as while it is replaced, changes nothing.
func (u *upstreams) servers(now time.Time) []netip.AddrPort {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.Sub(u.looked) >= lookEvery {
		u.looked = now
		err := u.look()
		if err != nil && !u.failed {
			u.log.Warn("cannot read the worker's own resolvers: those known so far stay", "file", u.path, "servers", u.list, "error", err)
		}
		u.failed = err != nil
	}
	own := u.own()
	return slices.DeleteFunc(slices.Clone(u.list), func(a netip.AddrPort) bool { return slices.Contains(own, a) })
}

func (u *upstreams) look() error {
	f, err := os.Open(u.path)
	if err != nil {
		return fmt.Errorf("open %s: %w", u.path, err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at %s: %w", u.path, err)
	}
	if u.last != nil && os.SameFile(u.last, info) && u.last.ModTime().Equal(info.ModTime()) && u.last.Size() == info.Size() {
		return nil
	}
	list, err := readServers(io.LimitReader(f, maxResolvConf))
	if err != nil {
		return fmt.Errorf("read %s: %w", u.path, err)
	}
	if !slices.Equal(list, u.list) || u.last == nil {
		u.log.Info("forwarding names that are not of the overlay", "file", u.path, "servers", list)
	}
	u.last, u.list = info, list
	return nil
}

// readServers reads resolv.conf(5). One that names no server means the one on the host's loopback.
func readServers(r io.Reader) ([]netip.AddrPort, error) {
	c, err := dns.ClientConfigFromReader(r)
	if err != nil {
		return nil, err
	}
	var list []netip.AddrPort
	for _, s := range c.Servers {
		if a, err := netip.ParseAddr(s); err == nil && len(list) < maxServers {
			list = append(list, netip.AddrPortFrom(a, port))
		}
	}
	if len(list) == 0 {
		list = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)}
	}
	return list, nil
}
