// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
)

// Journal is how far a long run has got, so that it goes on where it broke off.
type Journal struct {
	Seed   uint64 `json:"seed"`
	Faults int    `json:"faults"`
	// Plan tells a plan from others with the same seed, which another version may make of it.
	Plan uint64 `json:"plan"`
	// Passed are the steps that have passed, in order.
	Passed []Passed `json:"passed"`

	file string
}

// Passed is a step after which all was well.
type Passed struct {
	Kinds []Kind `json:"kinds"`
	// Overlapped says that of two faults the second began before the first was mended.
	Overlapped bool `json:"overlapped,omitempty"`
	// Milliseconds are those from the heal until all was seen to be well.
	Milliseconds int64 `json:"ms"`
}

// OpenJournal reads the journal of a run, or begins one. One of another run, or of one that has ended, is begun anew.
func OpenJournal(file string, seed uint64, plan []Step) (*Journal, error) {
	sum := fnv.New64a()
	for _, s := range plan {
		_, _ = fmt.Fprintln(sum, s)
	}
	j := &Journal{}
	if err := statefile.Read(file, j); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the journal of a chaos run: %w", err)
	}
	if j.Seed != seed || j.Faults != len(plan) || j.Plan != sum.Sum64() || len(j.Passed) >= len(plan) {
		j = &Journal{Seed: seed, Faults: len(plan), Plan: sum.Sum64()}
	}
	j.file = file
	return j, nil
}

// Note stores that the next step has passed.
func (j *Journal) Note(p Passed) error {
	j.Passed = append(j.Passed, p)
	return statefile.Write(j.file, j)
}
