// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
)

// Steps of a packet that is traced.
const (
	StepContainer = uint32(mapsOakStepOAK_STEP_CONTAINER)
	StepTunnel    = uint32(mapsOakStepOAK_STEP_TUNNEL)
	StepBack      = uint32(mapsOakStepOAK_STEP_BACK)
	StepOutside   = uint32(mapsOakStepOAK_STEP_OUTSIDE)
	StepService   = uint32(mapsOakStepOAK_STEP_SERVICE)
	StepBackend   = uint32(mapsOakStepOAK_STEP_BACKEND)
	StepOpened    = uint32(mapsOakStepOAK_STEP_OPENED)
	StepFlow      = uint32(mapsOakStepOAK_STEP_FLOW)
	StepCard      = uint32(mapsOakStepOAK_STEP_CARD)
	// StepLast and what follows it ends a packet's steps.
	StepLast   = uint32(mapsOakStepOAK_STEP_LAST)
	StepLocal  = uint32(mapsOakStepOAK_STEP_LOCAL)
	StepPeer   = uint32(mapsOakStepOAK_STEP_PEER)
	StepStack  = uint32(mapsOakStepOAK_STEP_STACK)
	StepUpcall = uint32(mapsOakStepOAK_STEP_UPCALL)
	StepDrop   = uint32(mapsOakStepOAK_STEP_DROP)
	StepOut    = uint32(mapsOakStepOAK_STEP_OUT)
)

// MaxTraceAddresses is how many addresses a side of a [Trace] can have.
const MaxTraceAddresses = int(mapsOakLimitsOAK_TRACE_ADDRESSES)

// TraceReader reads what the programs tell of packets that are traced. There is room for one at a time.
type TraceReader struct{ ring *ringbuf.Reader }

// ReadTraces begins to read.
func (m *Maps) ReadTraces() (*TraceReader, error) {
	ring, err := ringbuf.NewReader(m.Traces)
	if err != nil {
		return nil, fmt.Errorf("read ring buffer of traces: %w", err)
	}
	return &TraceReader{ring}, nil
}

// Close ends a Next that waits.
func (r *TraceReader) Close() error { return r.ring.Close() }

// Next returns the next event, or false if there is none until the deadline.
func (r *TraceReader) Next(deadline time.Time) (TraceEvent, bool, error) {
	var e TraceEvent
	r.ring.SetDeadline(deadline)
	record, err := r.ring.Read()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return e, false, nil
	case err != nil:
		return e, false, fmt.Errorf("read trace: %w", err)
	case len(record.RawSample) < int(unsafe.Sizeof(e)):
		return e, false, fmt.Errorf("read trace: an event of %d bytes is too short", len(record.RawSample))
	}
	if _, err := binary.Decode(record.RawSample, binary.NativeEndian, &e); err != nil {
		return e, false, fmt.Errorf("decode trace: %w", err)
	}
	return e, true, nil
}
