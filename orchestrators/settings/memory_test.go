// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHeapSeesWhatABurstLeaves(t *testing.T) {
	_, before := heap()
	burst := make([]byte, 64<<20)
	for i := range burst {
		burst[i] = 1
	}
	runtime.KeepAlive(burst)
	burst = nil
	runtime.GC()
	_, after := heap()
	require.Greater(t, after, before+(32<<20))
	require.Nil(t, burst)
}
