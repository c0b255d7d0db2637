// SPDX-License-Identifier: Apache-2.0

package release

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDebianVersionsSort holds versions, as git describes them, against Debian's own order.
func TestDebianVersionsSort(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip("there is no dpkg")
	}
	order := []string{"f0834d2", "v0.9.9", "v1.0.0-rc1", "v1.0.0-rc2", "v1.0.0", "v1.0.0-3-gabcdef0", "v1.0.0-12-gabcdef0-dirty", "v1.0.1-alpha.1", "v1.0.1", "v1.10.0"}
	for i := 1; i < len(order); i++ {
		a, b := debianVersion(order[i-1], 1_700_000_000), debianVersion(order[i], 1_700_000_000)
		out, err := exec.Command(dpkg, "--compare-versions", a, "lt", b).CombinedOutput()
		require.NoError(t, err, "%s is not below %s: %s", a, b, out)
		require.Empty(t, out)
	}
	require.Equal(t, "0~1700000000.1234567", debianVersion("1234567", 1_700_000_000), "a hash of digits alone is no version")
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	dir := built(t)
	for _, p := range packages() {
		file := filepath.Join(dir, p.name+"_1.2.3_"+thisArch(t).Name+".deb")
		require.Equal(t, "1.2.3\n", command(t, dir, "dpkg-deb", "-f", file, "Version"))
		list := command(t, dir, "dpkg-deb", "-c", file)
		for _, program := range p.programs {
			require.Contains(t, list, " ./usr/bin/"+program+"\n")
		}
		if p.service == nil {
			continue
		}
		require.Contains(t, list, p.service.Unit()+"\n")
		conffiles := strings.Fields(command(t, dir, "dpkg-deb", "-I", file, "conffiles"))
		require.Contains(t, conffiles, "/etc/oakestra/"+p.service.Env())
	}
}
