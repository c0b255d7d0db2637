// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Names of the files that are written.
const (
	JSONFile     = "results.json"
	MarkdownFile = "results.md"
	ChartFile    = "results.svg"
)

// Write writes all forms of the figures into dir.
func Write(dir string, f Figures) error {
	data, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return fmt.Errorf("encode the figures: %w", err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, JSONFile), append(data, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, MarkdownFile), []byte(Markdown(f)), 0o644),
		os.WriteFile(filepath.Join(dir, ChartFile), []byte(Chart(f)), 0o644),
	)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Read reads figures that were written before.
func Read(file string) (Figures, error) {
	var f Figures
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		return f, fmt.Errorf("read figures: %w", err)
	}
	return f, nil
}

const machineFile = "machine.json"

// WriteMachine keeps in dir what the machine was that measured there last.
func WriteMachine(dir string, m Machine) error {
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return fmt.Errorf("encode the machine: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, machineFile), data, 0o644); err != nil {
		return fmt.Errorf("store the machine: %w", err)
	}
	return nil
}

// ReadMachine is the inverse of [WriteMachine]; nothing was stored where nothing was measured.
func ReadMachine(dir string) (m Machine, err error) {
	data, err := os.ReadFile(filepath.Join(dir, machineFile))
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return m, fmt.Errorf("read the machine: %w", err)
	}
	return m, nil
}
