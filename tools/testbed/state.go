// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// API is where the root orchestrator answers, and who may log in.
type API struct {
	URL      string `json:"url"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// state is what later commands have to know of the testbed.
type state struct {
	Dir string `json:"dir"`
	Bin string `json:"bin"`
	// Elsewhere are the folders of programs that are not in Bin.
	Elsewhere map[string]string `json:"elsewhere,omitempty"`
	// Ready is false from the first change that "up" makes until it has succeeded.
	Ready bool `json:"ready"`
	// Owner is the process that the testbed goes with: once it is dead, what runs is left-overs. Empty if it stays.
	Owner *proc.ID `json:"owner,omitempty"`
	Fsync bool     `json:"fsync"`
	// Broker is [BrokerBuiltin], or empty for it, or [BrokerMosquitto]. LostAfter is the clusters', zero for their default.
	Broker    string        `json:"broker,omitempty"`
	LostAfter time.Duration `json:"lost_after,omitempty"`
	// ClusterLostAfter is root's.
	ClusterLostAfter time.Duration `json:"cluster_lost_after,omitempty"`
	Hosts            []Host        `json:"hosts"`
	API              API           `json:"api"`
	Registry         string        `json:"registry"`
	// Self is the oak-testbed program that started all, which relays too.
	Self   string           `json:"self"`
	Cuts   []underlay.Cut   `json:"cuts,omitempty"`
	Delays []underlay.Delay `json:"delays,omitempty"`
	// Plain says what was turned off of the uplinks of which hosts, since a relay carries their packets.
	Plain map[string][]string `json:"plain,omitempty"`
}

func (s *state) save() error { return statefile.Write(stateFile, s) }

// loadState returns nil if there is no record of a testbed.
func loadState() (*state, error) {
	var s state
	err := statefile.Read(stateFile, &s)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the testbed's record: %w", err)
	}
	return &s, nil
}

// prepare makes the testbed's folders. It refuses a folder that holds what it did not put there.
func (l layout) prepare(hosts []Host) error {
	if entries, err := os.ReadDir(l.dir); err == nil && len(entries) > 0 {
		if _, err := os.Stat(l.marker()); err != nil {
			return fmt.Errorf("prepare %s: it holds files that are not the testbed's: give another folder with --dir", l.dir)
		}
	}
	for _, d := range []string{l.dir, l.logs(), runDir, componentsDir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("prepare the testbed's folders: %w", err)
		}
	}
	if err := os.WriteFile(l.marker(), nil, 0o644); err != nil {
		return fmt.Errorf("mark the testbed's folder: %w", err)
	}
	for _, h := range hosts {
		for _, d := range []string{l.disk(h.Name), run(h.Name)} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return fmt.Errorf("prepare the folders of host %s: %w", h.Name, err)
			}
		}
		if err := os.WriteFile(l.disk(h.Name, resolvConf), []byte("# the testbed leads nowhere: there is no resolver\n"), 0o644); err != nil {
			return fmt.Errorf("prepare the files of host %s: %w", h.Name, err)
		}
	}
	return nil
}

// newPassword writes a fresh password to the file and returns it.
func newPassword(file string) (string, error) {
	p := rand.Text()
	if err := os.WriteFile(file, []byte(p+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the administrator's password: %w", err)
	}
	return p, nil
}
