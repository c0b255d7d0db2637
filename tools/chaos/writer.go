// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
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
	// dropped are applications whose deletion was asked for, acknowledged or not.
	dropped map[string]bool
	// removed are instances whose removal was asked for: true if it was acknowledged.
	removed map[string]bool
	// kept are the applications of each kind that are to be deleted at some time, oldest first.
	kept map[string][]string
	// acknowledged and refused count all, deployed the acknowledged applications with a service.
	acknowledged, refused, deployed int
	// refusal is the last one.
	refusal error
}

func newWriter(w *World, seed uint64) *writer {
	return &writer{w: w, rand: rand.New(rand.NewPCG(seed, 0x3172)), //nolint:gosec // to be repeated, not to be secret
		there: map[string]bool{}, gone: map[string]bool{}, dropped: map[string]bool{}, removed: map[string]bool{},
		kept: map[string][]string{}}
}

// run writes until ctx ends.
func (x *writer) run(ctx context.Context) {
	for turn := 0; ctx.Err() == nil; turn++ {
		write, cancel := context.WithTimeout(ctx, writeTimeout)
		switch turn % 8 {
		case 3:
			x.scale(write)
		case 6:
			x.deploy(write)
		default:
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
		x.refusal = err
		return false
	}
	x.acknowledged++
	return true
}

// create creates an application, and deletes an older one.
func (x *writer) create(ctx context.Context) { x.exchange(ctx, "written", []object{}) }

// deploy does so with an application of one service, of which one instance is to run.
func (x *writer) deploy(ctx context.Context) {
	s := service("deployed", scene.ImageServer, x.w.images)
	s["replicas"] = 1
	if x.exchange(ctx, "deployed", []object{s}) {
		x.deployed++
	}
}

// exchange creates an application, and deletes the oldest of its kind if there are too many. It reports whether the first was acknowledged.
func (x *writer) exchange(ctx context.Context, kind string, services []object) bool {
	x.n++
	name := fmt.Sprintf("%s%d", kind, x.n)
	body, err := application(name, services)
	if err != nil {
		panic(err) // of constants
	}
	api := x.api()
	all, err := api.CreateApplication(ctx, body)
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.note(err) {
		return false
	}
	x.there[name] = true
	x.kept[kind] = append(x.kept[kind], name)
	if len(x.kept[kind]) <= keep {
		return true
	}
	old := x.kept[kind][0]
	x.kept[kind] = x.kept[kind][1:]
	for _, a := range all {
		if a.Name != old {
			continue
		}
		delete(x.there, old) // from now on nothing is known
		x.dropped[old] = true
		if x.note(api.DeleteApplication(ctx, a.ID)) {
			x.gone[old] = true
		}
	}
	return true
}

// forget begins anew with what is known, since a database is an older one.
func (x *writer) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	clear(x.there)
	clear(x.gone)
	clear(x.dropped)
	clear(x.removed)
	clear(x.kept)
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
	v.Instances = slices.DeleteFunc(v.Instances, func(i client.Instance) bool { return i.Deleting }) // it may be gone by then
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := len(v.Instances); n < 2 || n < most && x.rand.IntN(2) == 0 {
		x.note(api.AddInstance(ctx, id))
		return
	}
	number := v.Instances[x.rand.IntN(len(v.Instances))].Number
	_ = x.removing(ctx, api, id, number) // it is noted
}

// remove takes an instance away.
func (x *writer) remove(ctx context.Context, api *client.Client, id client.ID, number int) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.removing(ctx, api, id, number)
}

// removing is remove for who holds mu.
func (x *writer) removing(ctx context.Context, api *client.Client, id client.ID, number int) error {
	key := fmt.Sprintf("%s.%d", id, number)
	err := api.RemoveInstance(ctx, id, number)
	x.removed[key] = x.note(err) || x.removed[key]
	return err
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
