// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Way is how frames fare in one direction.
type Way struct {
	// Delay is how long a frame is held.
	Delay time.Duration
	// Lost has every frame vanish.
	Lost bool
	// Carries says which frames pass, by their bytes; nil lets all pass. It is called by one goroutine, and has to be quick.
	Carries func(frame []byte) bool
}

// Path carries frames between two interfaces, both ways, until it is closed.
type Path struct {
	ab, ba *way
}

// Open starts carrying what arrives at interface a out of b, and the other way round. Both belong to the calling thread's network
// namespace, and the veth ends behind them have to send plain frames: see [SetOffloads].
func Open(a, b string, ab, ba Way) (*Path, error) {
	endA, err := openEnd(a)
	if err != nil {
		return nil, err
	}
	endB, err := openEnd(b)
	if err != nil {
		return nil, errors.Join(err, endA.Close())
	}
	return &Path{ab: newWay(endA, endB, ab), ba: newWay(endB, endA, ba)}, nil
}

// Set changes how frames from a to b, and from b to a, fare from now on. Frames that are held already keep their time.
func (p *Path) Set(ab, ba Way) {
	p.ab.set(ab)
	p.ba.set(ba)
}

// Stats says how many frames have passed each way, and how many were lost: on purpose, or for want of room.
func (p *Path) Stats() (ab, ba Stats) { return p.ab.count(), p.ba.count() }

// Close stops carrying. Frames that are held are lost.
func (p *Path) Close() error {
	close(p.ab.done)
	close(p.ba.done)
	err := errors.Join(p.ab.in.Close(), p.ba.in.Close())
	p.ab.tasks.Wait()
	p.ba.tasks.Wait()
	return err
}

func interfaceIndex(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("find interface %s: %w", name, err)
	}
	return i.Index, nil
}
