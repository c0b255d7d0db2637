// SPDX-License-Identifier: Apache-2.0

package uplink

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestDecodeDesired(t *testing.T) {
	if d, err := decodeDesired(nil); d != nil || err != nil {
		t.Errorf("an empty payload says something: %v %v", d, err)
	}
	if _, err := decodeDesired([]byte(`{"format":1`)); err == nil {
		t.Error("broken JSON was taken")
	}
	if _, err := decodeDesired([]byte(`{"format":2,"epoch":1,"revision":1}`)); !errors.Is(err, wire.ErrNewerFormat) {
		t.Errorf("a newer format: %v", err)
	}
	d, err := decodeDesired([]byte(`{"format":1,"epoch":3,"revision":4,"unknown":true,"instances":[{"service_id":"x","instance_number":2}]}`))
	if err != nil || d.Epoch != 3 || d.Revision != 4 || len(d.Instances) != 1 || d.Instances[0].Number != 2 {
		t.Errorf("%+v %v", d, err)
	}
}

func FuzzDecodeDesired(f *testing.F) {
	f.Add([]byte(`{"format":1,"epoch":3,"revision":4,"instances":[{"service_id":"x","spec":{"instance_ip":"10.0.0.1"}}],"tombstones":[{}]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := decodeDesired(data); err == nil && d != nil && d.Format > wire.Format {
			t.Error("a newer format was taken")
		}
	})
}

// moody is an agent that cannot store at first.
type moody struct {
	Agent
	fails atomic.Int32
	got   chan wire.Desired
}

func (m *moody) Apply(d wire.Desired) error {
	if m.fails.Add(-1) >= 0 {
		return errors.New("no space left on device")
	}
	m.got <- d
	return nil
}

// The cluster sends a desired state once: one that could not be stored is tried again.
func TestDesiredStateThatCouldNotBeStoredIsTriedAgain(t *testing.T) {
	m := &moody{got: make(chan wire.Desired, 1)}
	m.fails.Store(3)
	u := New(Options{Agent: m, Log: slog.New(slog.DiscardHandler)})
	u.onDesired("", []byte(`{"format":1,"epoch":7,"revision":3}`))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { u.applyPending(ctx, time.Millisecond); close(done) }()
	select {
	case d := <-m.got:
		if d.Epoch != 7 || d.Revision != 3 {
			t.Fatalf("got %s", d.Stamp)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it is lost")
	}
	cancel()
	<-done
}

// A desired state of a newer format is refused with a clear state, and what is applied stays.
func TestNewerFormatIsShown(t *testing.T) {
	m := &moody{got: make(chan wire.Desired, 1)}
	u := New(Options{Agent: m, Log: slog.New(slog.DiscardHandler)})
	u.onDesired("", []byte(`{"format":99,"epoch":7,"revision":3}`))
	if len(m.got) != 0 || !strings.Contains(u.Refused(), "upgrade") {
		t.Fatalf("applied %d, %q", len(m.got), u.Refused())
	}
	u.onDesired("", nil)
	if u.Refused() == "" {
		t.Fatal("an empty payload says something")
	}
	u.onDesired("", []byte(`{"format":1,"epoch":7,"revision":4}`))
	if len(m.got) != 1 || u.Refused() != "" {
		t.Fatalf("applied %d, %q", len(m.got), u.Refused())
	}
}
