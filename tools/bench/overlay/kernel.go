// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/cilium/ebpf"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// vips opens the map of addresses of the client's worker.
func (o *Overlay) vips() (*ebpf.Map, error) {
	found, err := filepath.Glob(filepath.Join(o.pair.Lab.BPFFS(), "oakestra", o.name("a"), "v*", bpf.MapDir, "vips"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("find the pinned addresses of worker %s: %d maps: %w", o.name("a"), len(found), err)
	}
	m, err := ebpf.LoadPinnedMap(found[0], nil)
	if err != nil {
		return nil, fmt.Errorf("open the pinned addresses: %w", err)
	}
	return m, nil
}

// has reports whether an address is in the map, and thereby all that it leads to: addresses are written last.
func has(m *ebpf.Map, a netip.Addr) bool {
	value := make([]byte, m.ValueSize())
	return m.Lookup(bpf.AddrFrom(a), &value) == nil
}

// inKernel waits until an address can be used.
func (o *Overlay) inKernel(ctx context.Context, a netip.Addr) error {
	m, err := o.vips()
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	if err := o.a.eventually(ctx, fmt.Sprintf("address %s is in the kernel", a), func() (bool, error) { return has(m, a), nil }); err != nil {
		return fmt.Errorf("%w%s", err, o.a.complaint())
	}
	return nil
}
