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

// Receiver gets what the programs have to say, one thing after the other.
type Receiver struct {
	// Hello gets every hello packet that arrives.
	Hello func(bpf.Hello)
	// Stale gets packets of peers that were dropped since nobody is where they were sent; some of many.
	Stale func(bpf.StalePacket)
}

// Events hands what the programs say to r until ctx ends. The kernel drops what r is too slow for, and counts lost hellos.
func (d *Datapath) Events(ctx context.Context, r Receiver) error {
	reader, err := ringbuf.NewReader(d.maps.Events)
	if err != nil {
		return fmt.Errorf("open ring buffer: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = reader.Close() })
	defer stop()
	for {
		record, err := reader.Read()
		if errors.Is(err, ringbuf.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read ring buffer: %w", err)
		}
		if err := d.take(r, record.RawSample); err != nil {
			d.log.Warn("a record of the ring buffer is not understood", "bytes", len(record.RawSample), "error", err)
		}
	}
}

func (d *Datapath) take(r Receiver, record []byte) error {
	if len(record) < 4 {
		return errors.New("it has no kind")
	}
	switch kind := binary.NativeEndian.Uint32(record); kind {
	case bpf.EventHello:
		var h bpf.Hello
		if err := decode(record, &h); err != nil {
			return err
		}
		if int(h.Len) <= len(h.Data) && r.Hello != nil {
			r.Hello(h)
		}
	case bpf.EventStale:
		var s bpf.StalePacket
		if err := decode(record, &s); err != nil {
			return err
		}
		if r.Stale != nil {
			r.Stale(s)
		}
	case bpf.EventLost:
		var l bpf.LostReset
		if err := decode(record, &l); err != nil {
			return err
		}
		return d.sendLost(l)
	default:
		return fmt.Errorf("kind %d is unknown", kind)
	}
	return nil
}

func decode(record []byte, into any) error {
	if err := binary.Read(bytes.NewReader(record), binary.NativeEndian, into); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}
