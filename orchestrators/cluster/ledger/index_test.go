// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"github.com/stretchr/testify/require"
)

// checkIndex holds the index against what there is.
func (l *Ledger) checkIndex(t require.TestingT) {
	want := newIndex()
	for key := range l.instances {
		put(want.byService, key.ServiceID, key)
	}
	for key, list := range l.copies {
		put(want.byService, key.ServiceID, key)
		for _, c := range list {
			put(want.byWorker, c.Worker, key)
		}
	}
	require.Equal(t, want, l.index)
}
