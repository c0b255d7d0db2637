// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// repo is the root of the repository, seen from this package.
const repo = "../.."

// bin is the folder of the programs.
func bin() (string, error) { return filepath.Abs(filepath.Join(repo, "bin")) }

// TestMain builds the programs, so that what is tested is what is in the tree.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Println("the testbed makes network namespaces and loads BPF programs: run these tests as root")
		os.Exit(1)
	}
	// Calls to the testbed's own addresses go nowhere near the proxy of the user's shell.
	for _, v := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		_ = os.Unsetenv(v) // fails for no valid name
	}
	cmd := exec.Command("make", "--no-print-directory", "--silent", "-C", repo, "build")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Printf("build the programs: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
