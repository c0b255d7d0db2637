// SPDX-License-Identifier: Apache-2.0

package underlay

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf/relay"
)

// Delay is a slow connection between two hosts.
type Delay struct {
	A string `json:"a"`
	B string `json:"b"`
	// Milliseconds are what each packet takes longer, each way.
	Milliseconds int `json:"ms"`
}

// PathSpec is what a relay has to do for one delayed pair of hosts.
type PathSpec struct {
	Delay
	// LostAB and LostBA say that a cut takes what goes from A to B, or from B to A.
	LostAB bool `json:"lost_ab,omitempty"`
	LostBA bool `json:"lost_ba,omitempty"`
}

// Paths returns what relays have to do for the delays, given the cuts that there are.
func Paths(cuts []Cut, delays []Delay) []PathSpec {
	paths := make([]PathSpec, 0, len(delays))
	for _, d := range delays {
		p := PathSpec{Delay: d}
		for _, c := range cuts {
			whole := c.B == "" && (c.A == d.A || c.A == d.B) || c.Between(d.A, d.B) && !c.OneWay
			p.LostAB = p.LostAB || whole || c == Cut{A: d.A, B: d.B, OneWay: true}
			p.LostBA = p.LostBA || whole || c == Cut{A: d.B, B: d.A, OneWay: true}
		}
		paths = append(paths, p)
	}
	return paths
}

// OpenPath starts to carry what two hosts send to one another past the bridge, until the returned path is closed. It taps the
// hosts' ports of the bridge, whose own way [ApplyFaults] closes.
func OpenPath(p PathSpec) (*relay.Path, error) {
	to := map[string]func([]byte) bool{}
	for _, h := range []string{p.A, p.B} {
		err := In(h, func() error {
			i, err := net.InterfaceByName(Uplink)
			if err != nil {
				return fmt.Errorf("find the uplink of host %s: %w", h, err)
			}
			to[h] = receiver(i.HardwareAddr)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	late := time.Duration(p.Milliseconds) * time.Millisecond
	var path *relay.Path
	err := In(hub, func() (err error) {
		path, err = relay.Open(p.A, p.B,
			relay.Way{Delay: late, Lost: p.LostAB, Carries: to[p.B]},
			relay.Way{Delay: late, Lost: p.LostBA, Carries: to[p.A]})
		return err
	})
	return path, err
}

// receiver picks frames to one host: by its address, and those to everybody or a group, of which it gets a copy.
func receiver(mac net.HardwareAddr) func([]byte) bool {
	return func(frame []byte) bool {
		return len(frame) >= len(mac) && (frame[0]&1 == 1 || bytes.Equal(frame[:len(mac)], mac))
	}
}

// KeepPlain has hosts of delays send plain frames, as relays need them, and the others send as they did. was is what an earlier
// call has returned: what it turned off, by host.
func KeepPlain(delays []Delay, was map[string][]string) (map[string][]string, error) {
	now := map[string][]string{}
	var errs []error
	for _, d := range delays {
		for _, h := range []string{d.A, d.B} {
			if _, done := now[h]; done {
				continue
			}
			if features, plain := was[h]; plain {
				now[h] = features
				continue
			}
			errs = append(errs, In(h, func() (err error) {
				now[h], err = relay.SetOffloads(Uplink, false)
				return err
			}))
		}
	}
	for h, features := range was {
		if _, plain := now[h]; plain {
			continue
		}
		errs = append(errs, In(h, func() error {
			_, err := relay.SetOffloads(Uplink, true, features...)
			return err
		}))
	}
	return now, errors.Join(errs...)
}
