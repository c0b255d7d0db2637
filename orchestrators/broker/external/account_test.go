// SPDX-License-Identifier: Apache-2.0

package external_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/broker/external"
)

// A container's account is none that the machine knows on which the files are written.
func TestFilesGoToAnAccountByItsNumbers(t *testing.T) {
	ca := authority(t)
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid, gid = 1883, 1884
	}
	setup := external.Setup{Dir: filepath.Join(t.TempDir(), "broker"), User: "nobody-here-is-called-that", Owner: fmt.Sprintf("%d:%d", uid, gid), Port: 8883, TTL: time.Hour}
	for range 2 { // the second time over what the first has left
		file, err := external.Prepare(ca, setup)
		require.NoError(t, err)
		for _, path := range []string{setup.Dir, file} {
			st, err := os.Stat(path)
			require.NoError(t, err)
			sys, ok := st.Sys().(*syscall.Stat_t)
			require.True(t, ok)
			require.EqualValues(t, uid, sys.Uid, path)
			require.EqualValues(t, gid, sys.Gid, path)
		}
	}
	setup.Owner = ""
	_, err := external.Prepare(ca, setup)
	require.ErrorContains(t, err, "--user")
	for _, wrong := range []string{"1883", "mosquitto:mosquitto", "-1:0", "1:2:3", ":", "4294967295:0"} {
		setup.Owner = wrong
		_, err := external.Prepare(ca, setup)
		require.ErrorIs(t, err, external.ErrOwner, wrong)
	}
}
