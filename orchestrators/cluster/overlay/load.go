// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Loads are told in steps, so that routes are sent again only when there is something to tell: a step is left once the load is further from it
// than loadMargin steps. Half a step would do, and have a load between two steps go to and fro.
const (
	loadSteps  = 8
	loadMargin = 0.9
)

// CopyKey names a copy of an instance.
type CopyKey struct {
	wire.InstanceKey
	Generation wire.Generation
}

// level is what is known of a copy's load.
type level struct {
	mean float64 // of what was said of it, the last counting half: what a worker does for a moment is no reason to pass it over
	step int
}

func newLevel(load float64) level {
	load = min(max(load, 0), 1)
	return level{load, int(math.Round(load * loadSteps))}
}

func (l level) next(load float64) level {
	l.mean = (l.mean + min(max(load, 0), 1)) / 2
	if at := l.mean * loadSteps; math.Abs(at-float64(l.step)) > loadMargin {
		l.step = int(math.Round(at))
	}
	return l
}

// told is the load as routes tell it; nil if it is not known.
func (s *service) told(x *Copy) *float64 {
	if x.abroad {
		return x.Load
	}
	l, ok := s.levels[CopyKey{wire.InstanceKey{ServiceID: s.ID, Number: x.Number}, x.Generation}]
	if !ok {
		return nil
	}
	load := float64(l.step) / loadSteps
	return &load
}

// SetLoads says how busy all copies are, 0 to 1; of those that it lacks it is not known. Routes are sent again where one has become busier or
// less busy by a step, so that how often this is called bounds how often they are.
func (c *Core) SetLoads(now map[CopyKey]float64) {
	for _, s := range c.services {
		for i := range s.Copies {
			if s.Copies[i].abroad {
				continue
			}
			key := CopyKey{wire.InstanceKey{ServiceID: s.ID, Number: s.Copies[i].Number}, s.Copies[i].Generation}
			load, known := now[key]
			old, had := s.levels[key]
			switch {
			case !known && had:
				delete(s.levels, key)
				c.changed(s.ID)
			case known && !had:
				s.levels[key] = newLevel(load)
				c.changed(s.ID)
			case known:
				l := old.next(load)
				s.levels[key] = l
				if l.step != old.step {
					c.changed(s.ID)
				}
			}
		}
	}
}

// relevel brings the levels to the copies that a service has now. Of one that is new it is known at once what its copy says.
func (s *service) relevel() {
	was := s.levels
	s.levels = make(map[CopyKey]level, len(s.Copies))
	for _, x := range s.Copies {
		if x.abroad {
			continue
		}
		key := CopyKey{wire.InstanceKey{ServiceID: s.ID, Number: x.Number}, x.Generation}
		if l, ok := was[key]; ok {
			s.levels[key] = l
		} else if x.Load != nil {
			s.levels[key] = newLevel(*x.Load)
		}
	}
}

// Locate says where a worker is; nil if that is not known. It reports whether that is news.
func (c *Core) Locate(id string, at *wire.Location) bool {
	w := c.workers[id]
	if w == nil || w.abroad || w.at == at || w.at != nil && at != nil && *w.at == *at {
		return false
	}
	w.at = at
	for key := range w.endpoints {
		c.changed(key.ServiceID)
	}
	return true
}
