// SPDX-License-Identifier: Apache-2.0

package uplink

import (
	"errors"
	"testing"

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
