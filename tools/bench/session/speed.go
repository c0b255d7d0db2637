// SPDX-License-Identifier: Apache-2.0

package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Speed is how fast one way takes services in.
type Speed struct {
	Way       string `json:"way"`
	Services  int    `json:"services"`
	Endpoints int    `json:"endpoints"`
	// Load is how long it took to take all of them in, in seconds.
	Load float64 `json:"load_s"`
	// Changes is how many single changes were made, each of one instance; P50 and P99 are how long they took, in milliseconds.
	Changes int     `json:"changes"`
	P50     float64 `json:"change_p50_ms"`
	P99     float64 `json:"change_p99_ms"`
	// ArrivedP50 and ArrivedP99 are the same from the message's arrival in NetManager; zero for ways that have no messages.
	ArrivedP50 float64 `json:"change_arrived_p50_ms,omitempty"`
	ArrivedP99 float64 `json:"change_arrived_p99_ms,omitempty"`
}

func (s *Session) speedFile() string { return filepath.Join(filepath.Dir(s.path), "speeds.json") }

// Speeds are those measured so far.
func (s *Session) Speeds() (out []Speed, err error) {
	data, err := os.ReadFile(s.speedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		return nil, fmt.Errorf("read measured speeds: %w: remove %s to begin anew", err, s.speedFile())
	}
	return out, nil
}

// AddSpeed stores one, in the place of one of the same way and size.
func (s *Session) AddSpeed(n Speed) error {
	all, err := s.Speeds()
	if err != nil {
		return err
	}
	replaced := false
	for i, o := range all {
		if o.Way == n.Way && o.Services == n.Services && o.Endpoints == n.Endpoints {
			all[i], replaced = n, true
		}
	}
	if !replaced {
		all = append(all, n)
	}
	data, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return fmt.Errorf("encode measured speeds: %w", err)
	}
	temporary := s.speedFile() + ".new"
	if err := os.WriteFile(temporary, data, 0o644); err != nil {
		return fmt.Errorf("store measured speeds: %w", err)
	}
	if err := os.Rename(temporary, s.speedFile()); err != nil {
		return fmt.Errorf("store measured speeds: %w", err)
	}
	return nil
}
