// SPDX-License-Identifier: Apache-2.0

package abroad

import (
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// forgetAfter is how long it is remembered what a cluster that asks no more holds.
const forgetAfter = 5 * time.Minute

// Held remembers what clusters hold, so that they need only be told what changed. It is a memory of one process: a cluster that asks another
// one is told everything.
type Held struct {
	mu sync.Mutex
	by map[string]*holding
}

type holding struct {
	name   string
	prints map[string][sha256.Size]byte
	used   time.Time
}

// NewHeld returns an empty memory.
func NewHeld() *Held { return &Held{by: map[string]*holding{}} }

// Keys of the parts of a message begin with one of these.
const (
	ofService = "service "
	ofWorker  = "worker "
	ofAddress = "address "
	ofName    = "name "
	ofAlone   = "alone"
)

// Reduce cuts a full view for a cluster that holds what held names down to what it lacks, and names the result. It reports false if it lacks
// nothing.
func (h *Held) Reduce(clusterID, held string, m *wire.ClusterAbroad, now time.Time) bool {
	prints := map[string][sha256.Size]byte{}
	h.mu.Lock()
	defer h.mu.Unlock()
	had := h.by[clusterID]
	if had != nil && (held == "" || had.name != held) {
		had = nil
	}
	// news notes a part and reports whether the cluster lacks it.
	news := func(key string, part any) bool {
		text, err := json.Marshal(part)
		if err != nil {
			return true // the types hold nothing that cannot be written
		}
		prints[key] = sha256.Sum256(text)
		return had == nil || had.prints[key] != prints[key]
	}
	changed := news(ofAlone, m.Alone)
	m.Services = keep(m.Services, func(s wire.AbroadService) bool { return news(ofService+s.ServiceID, s) })
	m.Workers = keep(m.Workers, func(w wire.NetPeer) bool { return news(ofWorker+w.WorkerID, w) })
	m.Answers = keep(m.Answers, func(a wire.AbroadAnswer) bool {
		if a.Address.IsValid() {
			return news(ofAddress+a.Address.String(), a)
		}
		return news(ofName+a.Name.Organization+" "+a.Name.Name, a)
	})
	if had != nil {
		had.used = now
		m.Full = false
		for key := range had.prints {
			if _, ok := prints[key]; !ok {
				note(&m.Gone, key)
				changed = true
			}
		}
		if !changed && len(m.Services)+len(m.Workers)+len(m.Answers) == 0 {
			m.Held = held
			return false
		}
	}
	m.Held = pki.NewID()
	h.by[clusterID] = &holding{name: m.Held, prints: prints, used: now}
	for id, x := range h.by {
		if now.Sub(x.used) > forgetAfter {
			delete(h.by, id)
		}
	}
	return true
}

func keep[T any](list []T, wanted func(T) bool) (out []T) {
	for _, x := range list {
		if wanted(x) {
			out = append(out, x)
		}
	}
	return out
}

// note adds a part that is no more.
func note(gone *wire.AbroadGone, key string) {
	if id, ok := strings.CutPrefix(key, ofService); ok {
		gone.Services = append(gone.Services, id)
	} else if id, ok := strings.CutPrefix(key, ofWorker); ok {
		gone.Workers = append(gone.Workers, id)
	} else if text, ok := strings.CutPrefix(key, ofAddress); ok {
		if a, err := netip.ParseAddr(text); err == nil {
			gone.Addresses = append(gone.Addresses, a)
		}
	} else if text, ok := strings.CutPrefix(key, ofName); ok {
		organization, name, _ := strings.Cut(text, " ")
		gone.Names = append(gone.Names, wire.NameKey{Organization: organization, Name: name})
	}
}
