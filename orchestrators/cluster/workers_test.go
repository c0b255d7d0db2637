// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// ask has root ask for the workers, and returns how one is.
func (r *scriptedRoot) ask(t *testing.T, id string) wire.WorkerView {
	t.Helper()
	r.mu.Lock()
	r.show++
	r.rev++
	show := r.show
	r.mu.Unlock()
	var list *wire.WorkerList
	eventually(t, "the cluster tells of its workers", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		list = r.told
		return list != nil && list.Answers == show
	})
	require.False(t, list.Withheld)
	for _, w := range list.Workers {
		if w.ID == id {
			return w
		}
	}
	t.Fatalf("nothing is told of %s", id)
	return wire.WorkerView{}
}

func (r *scriptedRoot) order(id string, mode wire.WorkerMode, revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rev++
	r.orders = []wire.WorkerOrder{{WorkerID: id, Mode: mode, Reason: "new disk", Stamp: wire.Stamp{Epoch: r.epoch, Revision: revision}}}
}

func (b *bed) mode(id string, body any) int {
	text, err := json.Marshal(body)
	require.NoError(b.t, err)
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPut, "http://"+b.api+PathWorkers+"/"+id+"/mode", bytes.NewReader(text))
	require.NoError(b.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Body.Close())
	return resp.StatusCode
}

func TestDrainByRootsWord(t *testing.T) {
	b := newBed(t)
	b.ready()
	w1, w2 := b.worker("one"), b.worker("two")
	b.root.want(1, 0, 1, 2, 3)
	eventually(t, "running at root", b.root.sees([]int{0, 1, 2, 3}, wire.StateRunning))
	require.NotEmpty(t, w1.runs())
	require.Equal(t, wire.WorkerOpen, b.root.ask(t, w1.id).Mode)
	require.Equal(t, len(w1.runs()), b.root.ask(t, w1.id).Instances)

	// While it is drained root hears of nothing but instances that run.
	var worst []wire.State
	b.root.mu.Lock()
	b.root.onReport = func(m wire.ClusterReport) {
		for _, i := range m.Instances {
			if i.State != wire.StateRunning {
				worst = append(worst, i.State)
			}
		}
	}
	b.root.mu.Unlock()
	b.root.order(w1.id, wire.WorkerDrained, 50)
	eventually(t, "all has moved", func() bool { return len(w1.runs()) == 0 && len(w2.runs()) == 4 })
	eventually(t, "nothing is left of it", func() bool { v := b.root.ask(t, w1.id); return v.Instances+v.Leaving == 0 })
	b.root.mu.Lock()
	b.root.onReport = nil
	require.Empty(t, worst)
	b.root.mu.Unlock()
	require.Equal(t, wire.WorkerDrained, b.root.ask(t, w1.id).Mode)

	// A restart forgets neither the mode nor whose order was the last.
	b.halt()
	b.start()
	b.ready()
	require.Equal(t, wire.WorkerDrained, b.root.ask(t, w1.id).Mode)
	b.root.order(w1.id, wire.WorkerOpen, 49)
	require.Equal(t, wire.WorkerDrained, b.root.ask(t, w1.id).Mode, "an older order")
	require.Equal(t, 422, b.mode(w1.id, map[string]string{"mode": "off"}))
	require.Equal(t, 422, b.mode(w1.id, map[string]string{"mode": "open", "since": "now"}))
	require.Equal(t, 404, b.mode("5e5e5e5e5e5e5e5e5e5e5e5e", map[string]string{"mode": "open"}))
	require.Equal(t, 200, b.mode(w1.id, map[string]string{"mode": "open"}))
	var v WorkerView
	require.Equal(t, 200, b.get(PathWorkers+"/"+w1.id, &v))
	require.Equal(t, wire.WorkerOpen, v.Mode)
	var problem map[string]any
	require.Equal(t, 404, b.get(PathWorkers+"/nobody", &problem))
}
