// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestShort(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 0.5: "0.5", 9.96: "10", 12: "12", 99.94: "99.9", 100: "100", 999.4: "999", 999.6: "1.00k", 1234: "1.23k", 99960: "100k",
		8.5e9: "8.50G", 1.5e12: "1.5T",
	} {
		assert.Equal(t, want, short(x), x)
	}
}
