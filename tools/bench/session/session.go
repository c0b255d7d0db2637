// SPDX-License-Identifier: Apache-2.0

package session

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
)

// Round is one finished round of a part.
type Round struct {
	Part    string                 `json:"part"`
	Number  int                    `json:"round"`
	Results map[string]load.Result `json:"results"` // by the slice's name
}

// Session is the rounds of one state of the project.
type Session struct {
	path   string
	Rounds []Round
}

// Open reads what there is of key in dir. The last line of a file may be broken: a run ended while it wrote.
func Open(dir, key string) (*Session, error) {
	s := &Session{path: filepath.Join(dir, key, "rounds.jsonl")}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of finished rounds: %w", err)
	}
	data, err := os.ReadFile(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read finished rounds: %w", err)
	}
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	for line := range bytes.Lines(whole) {
		var r Round
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("read finished rounds of %s: %w: remove the file to begin anew", s.path, err)
		}
		s.Rounds = append(s.Rounds, r)
	}
	if len(whole) < len(data) {
		if err := os.WriteFile(s.path, whole, 0o644); err != nil {
			return nil, fmt.Errorf("cut a broken round off: %w", err)
		}
	}
	return s, nil
}

// Dir is the folder of the session, for what belongs to it.
func (s *Session) Dir() string { return filepath.Dir(s.path) }

// Has returns the numbers of the part's rounds that have a result for every one of the slices. What was measured in two goes is no
// round: its ratios would not be of the same time.
func (s *Session) Has(part string, slices []string) map[int]bool {
	out := map[int]bool{}
	for _, r := range s.Rounds {
		all := r.Part == part
		for _, name := range slices {
			_, have := r.Results[name]
			all = all && have
		}
		if all {
			out[r.Number] = true
		}
	}
	return out
}

// Add stores a finished round.
func (s *Session) Add(r Round) error {
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("store a round: %w", err)
	}
	defer func() { _ = f.Close() }()
	w := bufio.NewWriter(f)
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return fmt.Errorf("encode a round: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("store a round: %w", err)
	}
	s.Rounds = append(s.Rounds, r)
	return nil
}
