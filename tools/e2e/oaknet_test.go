// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

// row is what the test reads of oak-net's listings.
type row struct {
	ServiceID   string `json:"service_id"`
	WorkerID    string `json:"worker_id"`
	Backends    int    `json:"backends"`
	Protocol    string `json:"protocol"`
	Established bool   `json:"established"`
	RxBytes     uint64 `json:"rx_bytes"`
}

// deadNetManager: with NetManager dead, oak-net shows services, backends and the flow of the download that goes on meanwhile.
func deadNetManager(t *testing.T, s *scene.Scene) {
	t.Helper()
	client, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.Testbed.Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range st.Hosts {
		for _, c := range h.Components {
			if h.Name == client.Worker && c.Name == "NetManager" && c.State != proc.Dead {
				t.Fatalf("NetManager@%s is %s", h.Name, c.State)
			}
		}
	}
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	list := func(what string) []row {
		out, err := s.OakNet(t.Context(), client.Worker, what, "-o", "json")
		if err != nil {
			t.Fatal(err)
		}
		var rows []row
		if err := json.Unmarshal([]byte(out), &rows); err != nil {
			t.Fatalf("oak-net %s: %v: %s", what, err, out)
		}
		return slices.DeleteFunc(rows, func(r row) bool { return r.ServiceID != string(v.ID) })
	}
	if r := list("service"); len(r) != 1 || r[0].Backends != len(v.Instances) {
		t.Errorf("oak-net service shows %+v, want one with %d backends", r, len(v.Instances))
	}
	if r := list("backend"); len(r) != len(v.Instances) {
		t.Errorf("oak-net backend shows %+v, want %d", r, len(v.Instances))
	}
	const downloaded = downloadRate / 2 // by the time that this is looked at
	download := func(r row) bool {
		return r.Protocol == "tcp" && r.Established && r.WorkerID != "" && r.RxBytes > downloaded
	}
	if r := list("flow"); !slices.ContainsFunc(r, download) {
		t.Errorf("oak-net flow shows %d flows of the service, and not that of the download", len(r))
	}
}
