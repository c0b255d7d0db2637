// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Hellos hands every hello packet that arrives to f, one after the other, until ctx ends. The kernel drops what f is too slow for
// and counts it.
func (d *Datapath) Hellos(ctx context.Context, f func(bpf.Hello)) error {
	r, err := ringbuf.NewReader(d.maps.Events)
	if err != nil {
		return fmt.Errorf("open ring buffer: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = r.Close() })
	defer stop()
	for {
		record, err := r.Read()
		if errors.Is(err, ringbuf.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read ring buffer: %w", err)
		}
		var h bpf.Hello
		if err := binary.Read(bytes.NewReader(record.RawSample), binary.NativeEndian, &h); err != nil {
			d.log.Warn("a record of the ring buffer is no hello", "bytes", len(record.RawSample), "error", err)
			continue
		}
		if int(h.Len) > len(h.Data) {
			continue
		}
		f(h)
	}
}
