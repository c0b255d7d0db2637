// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Instance is one generation of an instance, with all that is needed to run it.
type Instance struct {
	wire.InstanceKey
	Generation wire.Generation   `json:"generation"`
	Spec       wire.InstanceSpec `json:"spec"`
	// Restarts counts how often this generation was started anew on this worker.
	Restarts int `json:"restarts"`
	// Ends are when it ended of late and was started anew, oldest first: as many as its restart policy counts.
	Ends []time.Time `json:"ends,omitempty"`
}

// ID returns the id of the instance's copy.
func (i Instance) ID() string { return ID(i.InstanceKey, i.Generation) }

// ID returns <service id>.<number>.<placement>-<move>, which differs for each generation, so that two never meet under one name.
func ID(k wire.InstanceKey, g wire.Generation) string {
	return fmt.Sprintf("%s.%d.%d-%d", k.ServiceID, k.Number, g.Placement, g.Move)
}

// ParseID is the inverse of [ID].
func ParseID(id string) (wire.InstanceKey, wire.Generation, error) {
	bad := func() (wire.InstanceKey, wire.Generation, error) {
		return wire.InstanceKey{}, wire.Generation{}, fmt.Errorf("%q is not SERVICE.NUMBER.PLACEMENT-MOVE", id)
	}
	part := strings.Split(id, ".")
	if len(part) != 3 || part[0] == "" {
		return bad()
	}
	number, err := strconv.Atoi(part[1])
	if err != nil || number < 0 {
		return bad()
	}
	p, m, ok := strings.Cut(part[2], "-")
	placement, err1 := strconv.ParseUint(p, 10, 32)
	move, err2 := strconv.ParseUint(m, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return bad()
	}
	key := wire.InstanceKey{ServiceID: part[0], Number: number}
	gen := wire.Generation{Placement: uint32(placement), Move: uint32(move)}
	if ID(key, gen) != id {
		return bad()
	}
	return key, gen, nil
}
