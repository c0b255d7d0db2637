// SPDX-License-Identifier: Apache-2.0

package routes

import "fmt"

// slots hands out places in an array map: those never used first, then those free for longest, since flows may still name a place
// that was freed. Place 0 is never given.
type slots struct {
	what  string
	size  uint32
	next  uint32   // all from here on were never used
	freed []uint32 // longest first
}

func newSlots(what string, size uint32) slots { return slots{what: what, size: size, next: 1} }

func (s *slots) take() (uint32, error) {
	if s.next < s.size {
		s.next++
		return s.next - 1, nil
	}
	if len(s.freed) == 0 {
		return 0, fmt.Errorf("all %d %s of this worker are taken", s.size-1, s.what)
	}
	i := s.freed[0]
	s.freed = s.freed[1:]
	return i, nil
}

func (s *slots) free(i uint32) { s.freed = append(s.freed, i) }

// recover takes over places found in use, and keeps those that flows still name from being given soon.
func (s *slots) recover(used, named func(uint32) bool) {
	for i := s.size - 1; i > 0; i-- {
		if used(i) || named(i) {
			s.next = i + 1
			break
		}
	}
	var resting []uint32
	for i := uint32(1); i < s.next; i++ {
		switch {
		case used(i):
		case named(i):
			resting = append(resting, i)
		default:
			s.freed = append(s.freed, i)
		}
	}
	s.freed = append(s.freed, resting...)
}
