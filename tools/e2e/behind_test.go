// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// behindTheBack: an instance that vanishes from the cluster's database is no tombstone: it runs on, whatever restarts.
func behindTheBack(t *testing.T, s *scene.Scene) {
	v, err := s.Service(t.Context(), "fresh2")
	if err != nil {
		t.Fatal(err)
	}
	before := tasks(t, s)
	db, err := pgx.Connect(t.Context(), s.Testbed.DatabaseURL("c1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(t.Context()) }()
	for _, table := range []string{"placement", "instance"} {
		tag, err := db.Exec(t.Context(), "DELETE FROM "+pgx.Identifier{table}.Sanitize()+" WHERE service_id = $1", string(v.ID))
		if err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("delete from %s: %d rows, %v", table, tag.RowsAffected(), err)
		}
	}
	fault(t, testbed.Restart, "cluster-orchestrator@c1", "NodeEngine@c1-w1", "NodeEngine@c1-w2")
	time.Sleep(6 * time.Second) // nothing is to happen; that long, some three rounds of reports, it does not
	sameTasks(t, s, before)
	var r hello.GetReport
	call(t.Context(), t, s, &r, "get", "http://"+v.Instances[0].InstanceIP+"/", "-n", "5")
	if r.Failed != 0 {
		t.Errorf("%d of 5 calls of it failed: %v", r.Failed, r.Errors)
	}
}
