// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"cmp"
	"errors"
	"fmt"
)

// Format is the version of the message formats that this build writes. A receiver reads its own and the one before.
const Format = 1

// ErrNewerFormat is returned by [Header.Check] for a message whose format is newer than this build can read.
var ErrNewerFormat = errors.New("message format is newer than this program")

// Stamp orders the states of one topic, or of one cluster's row: by epoch first, then by revision.
//
// The epoch belongs to the sender's store and is raised at every start or take-over; revisions count within one epoch.
type Stamp struct {
	Epoch    uint64 `json:"epoch"`
	Revision uint64 `json:"revision"`
}

// Compare returns -1, 0 or 1 as s is older than, the same as, or newer than t.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(cmp.Compare(s.Epoch, t.Epoch), cmp.Compare(s.Revision, t.Revision))
}

// After reports whether s is newer than t.
func (s Stamp) After(t Stamp) bool { return s.Compare(t) > 0 }

// IsZero reports whether s was never set.
func (s Stamp) IsZero() bool { return s == Stamp{} }

func (s Stamp) String() string { return fmt.Sprintf("%d.%d", s.Epoch, s.Revision) }

// Header opens every state message.
type Header struct {
	// Format is the version of the message's form, [Format] when written by this build.
	Format int `json:"format"`
	Stamp
}

// NewHeader returns the header of a message of this build's format.
func NewHeader(s Stamp) Header { return Header{Format: Format, Stamp: s} }

// Check returns an error that wraps [ErrNewerFormat] if this build cannot read the message.
func (h Header) Check() error {
	if h.Format > Format {
		return fmt.Errorf("%w: got %d, read up to %d: upgrade this program", ErrNewerFormat, h.Format, Format)
	}
	return nil
}
