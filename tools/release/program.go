// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Arch is a kind of machine.
type Arch struct {
	// Name is Debian's, as `dpkg --print-architecture` prints it.
	Name string
	// env are the variables that have Go build for it.
	env []string
}

// Archs are those that a release is for. On armhf the programs build; it is tested no further.
func Archs() []Arch {
	return []Arch{
		{"amd64", []string{"GOARCH=amd64", "GOAMD64=v1"}},
		{"arm64", []string{"GOARCH=arm64", "GOARM64=v8.0"}},
		{"armhf", []string{"GOARCH=arm", "GOARM=7"}},
	}
}

// programs are the packages by what is made of them.
var programs = map[string]string{
	"root-orchestrator":    "./orchestrators/cmd/root-orchestrator",
	"cluster-orchestrator": "./orchestrators/cmd/cluster-orchestrator",
	"NodeEngine":           "./nodeengine/cmd/NodeEngine",
	"NetManager":           "./dataplane/cmd/NetManager",
	"oak":                  "./tools/cmd/oak",
	"oak-net":              "./tools/cmd/oak-net",
}

// compile builds all programs for one kind of machine into a new folder. What version control says stays out: an unpacked archive of the source
// is to give the same bytes.
func compile(ctx context.Context, source, version string, arch Arch, into string) error {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return fmt.Errorf("build programs: %w", err)
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=" + version, "-o", into + string(filepath.Separator)}
	for _, pkg := range programs {
		args = append(args, pkg)
	}
	slices.Sort(args[7:])
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = source
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "GOFLAGS" || name == "GOEXPERIMENT"
	}), append([]string{"CGO_ENABLED=0", "GOOS=linux"}, arch.env...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build programs for %s: %w:\n%s", arch.Name, err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}
