// SPDX-License-Identifier: Apache-2.0

package samples_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/tools/oak/samples"
)

func TestSamplesAreValid(t *testing.T) {
	assert.Equal(t, []string{"blank", "default", "gaming"}, samples.Names())
	for _, name := range samples.Names() {
		body, ok := samples.Get(name)
		require.True(t, ok)
		d, err := sla.Parse(body)
		require.NoError(t, err, name)
		assert.Empty(t, d.Warnings)
	}
	_, ok := samples.Get("../samples")
	assert.False(t, ok)
}
