// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
)

// writeEvery is how often somebody writes while something breaks; writeTimeout is how long they wait for an answer.
const (
	writeEvery   = 400 * time.Millisecond
	writeTimeout = 8 * time.Second
	// keep is how many applications are kept before the oldest is deleted again.
	keep = 5
)

// writer writes through the API and remembers what was acknowledged.
type writer struct {
	w    *World
	rand *rand.Rand
	n    int

	mu sync.Mutex
	// there and gone are applications whose creation or deletion was acknowledged last. Of others nothing is known.
	there, gone map[string]bool
	// removed are instances whose removal was asked for: true if it was acknowledged.
	removed map[string]bool
	// acknowledged and refused count all.
	acknowledged, refused int
}

func newWriter(w *World, seed uint64) *writer {
	return &writer{w: w, rand: rand.New(rand.NewPCG(seed, 0x3172)), //nolint:gosec // to be repeated, not to be secret
		there: map[string]bool{}, gone: map[string]bool{}, removed: map[string]bool{}}
}

// run writes until ctx ends.
func (x *writer) run(ctx context.Context) {
	for turn := 0; ctx.Err() == nil; turn++ {
		write, cancel := context.WithTimeout(ctx, writeTimeout)
		if turn%8 == 3 {
			x.scale(write)
		} else {
			x.create(write)
		}
		cancel()
		pause(ctx, writeEvery)
	}
}

// api is one of root's processes: any of them, in no order.
func (x *writer) api() *client.Client { return x.w.apis[x.rand.IntN(len(x.w.apis))] }

func (x *writer) note(err error) (acknowledged bool) {
	if err != nil {
		x.refused++
		return false
	}
	x.acknowledged++
	return true
}

// create creates an application, and deletes an older one.
func (x *writer) create(ctx context.Context) {
	x.n++
	name := fmt.Sprintf("written%d", x.n)
	body := fmt.Sprintf(`{"sla_version":"v2.0","customerID":"Admin","applications":[{"applicationID":"","application_name":%q,
		"application_namespace":"test","microservices":[]}]}`, name)
	api := x.api()
	all, err := api.CreateApplication(ctx, []byte(body))
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.note(err) {
		return
	}
	x.there[name] = true
	old := fmt.Sprintf("written%d", x.n-keep)
	for _, a := range all {
		if a.Name != old {
			continue
		}
		delete(x.there, old) // from now on nothing is known
		if x.note(api.DeleteApplication(ctx, a.ID)) {
			x.gone[old] = true
		}
	}
}

// scale adds an instance to a changing service, or takes one away.
func (x *writer) scale(ctx context.Context) {
	clusters := x.w.Testbed.Hosts("cluster")
	cluster := clusters[x.rand.IntN(len(clusters))].Name
	id := x.w.services[cluster][serviceChanging].ID
	api := x.api()
	v, err := api.Service(ctx, id)
	if err != nil {
		return // nothing was asked for
	}
	const most = 4
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := len(v.Instances); n < 2 || n < most && x.rand.IntN(2) == 0 {
		x.note(api.AddInstance(ctx, id))
		return
	}
	number := v.Instances[x.rand.IntN(len(v.Instances))].Number
	key := fmt.Sprintf("%s.%d", id, number)
	x.removed[key] = x.note(api.RemoveInstance(ctx, id, number)) || x.removed[key]
}

// lost says which acknowledged writes the verdict's databases do not hold.
func (x *writer) lost(v *Verdict) (wrong []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name := range x.there {
		if !v.want.applications[name] {
			wrong = append(wrong, fmt.Sprintf("application %s was acknowledged and is lost", name))
		}
	}
	for name := range x.gone {
		if v.want.applications[name] {
			wrong = append(wrong, fmt.Sprintf("the deletion of application %s was acknowledged and is lost", name))
		}
	}
	for i := range v.want.copies {
		if x.removed[i.key()] {
			wrong = append(wrong, fmt.Sprintf("the removal of instance %s was acknowledged and is lost", i.key()))
		}
	}
	return wrong
}
