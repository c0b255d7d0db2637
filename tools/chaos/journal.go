// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
)

// Journal is how far a long run has got, so that it goes on where it broke off.
type Journal struct {
	Seed   uint64 `json:"seed"`
	Faults int    `json:"faults"`
	// Done counts the steps that have passed.
	Done int `json:"done"`

	file string
}

// OpenJournal reads the journal of a run, or begins one. One of another run is begun anew.
func OpenJournal(file string, seed uint64, faults int) (*Journal, error) {
	j := &Journal{}
	if err := statefile.Read(file, j); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the journal of a chaos run: %w", err)
	}
	if j.Seed != seed || j.Faults != faults || j.Done >= faults {
		j = &Journal{Seed: seed, Faults: faults}
	}
	j.file = file
	return j, nil
}

// Note stores that a step has passed.
func (j *Journal) Note(step int) error {
	j.Done = step
	return statefile.Write(j.file, j)
}
