// SPDX-License-Identifier: Apache-2.0

package root

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// FuzzReport cuts any report down to what can be stored: no NUL in any text, amounts within their bounds, and of instances and workers only such as
// have an id.
func FuzzReport(f *testing.F) {
	id := strings.Repeat("5e", 12)
	for _, seed := range []string{`{}`, `null`, `{"instances":[{}]}`, `{"aggregate":{"groups":[{"architecture":"\u0000"}],"addons":[""]}}`,
		`{"instances":[{"service_id":"` + id + `","instance_number":1,"state":"RUNNING","status_detail":"\u0000","cpu_percent":-1e300,"restarts":-1}]}`,
		`{"workers":{"answers":1,"workers":[{"id":"` + id + `","mode":"open","name":"\u0000","subnets":["10.0.0.0/8",""]},{"id":"x"}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in wire.ClusterReport
		if json.Unmarshal(body, &in) != nil {
			return
		}
		_ = in.Check()
		cleanReport(&in)
		for _, i := range in.Instances {
			if !pki.ValidID(i.ServiceID) || i.Number < 0 || i.Number > math.MaxInt32 || i.Restarts < 0 || i.CPUPercent < 0 || len(i.Detail) > maxDetail+3 {
				t.Fatalf("not clean: %+v", i)
			}
			if strings.ContainsRune(i.Detail, 0) {
				t.Fatalf("a NUL in %q", i.Detail)
			}
		}
		if in.Workers == nil {
			return
		}
		for _, w := range in.Workers.Workers {
			text, err := json.Marshal(w)
			if err != nil || !pki.ValidID(w.ID) || !w.Mode.Valid() || strings.Contains(string(text), `\u0000`) {
				t.Fatalf("not clean: %s %v", text, err)
			}
		}
	})
}
