// SPDX-License-Identifier: Apache-2.0

// Command generate writes what documents say of programs' flags, variables, ports and metrics, as the programs themselves tell it: the
// page beside each program's source, and the parts of other pages that stand between "<!-- made: NAME -->" and "<!-- made: end -->".
// It runs in the repository's root, see `make generate`.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := blocks.Root()
	if err != nil {
		return err
	}
	mains, err := filepath.Glob(filepath.Join(root, "*", "cmd", "*", "main.go"))
	if err != nil || len(mains) == 0 {
		return errors.Join(errors.New("find programs: there are none"), err)
	}
	bin, err := os.MkdirTemp("", "oak-reference-")
	if err != nil {
		return fmt.Errorf("build programs: %w", err)
	}
	defer func() { _ = os.RemoveAll(bin) }()
	args := []string{"build", "-o", bin + "/"}
	for _, m := range mains {
		args = append(args, filepath.Dir(m))
	}
	build := exec.CommandContext(ctx, "go", args...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build programs: %w", err)
	}
	made := map[string]string{}
	var ports []manual.Port
	for _, m := range mains {
		folder := filepath.Dir(m)
		program := filepath.Join(bin, filepath.Base(folder))
		page, err := ask(ctx, program, "md")
		if err != nil {
			return err
		}
		if err := write(filepath.Join(folder, "README.md"), page); err != nil {
			return err
		}
		data, err := ask(ctx, program, "json")
		if err != nil {
			return err
		}
		var told manual.Manual
		if err := json.Unmarshal(data, &told); err != nil {
			return fmt.Errorf("read the reference of %s: %w", program, err)
		}
		ports = append(ports, told.Ports...)
	}
	slices.SortStableFunc(ports, func(a, b manual.Port) int {
		return cmp.Or(strings.Compare(order(a.On), order(b.On)), cmp.Compare(a.Port, b.Port), strings.Compare(a.Protocol, b.Protocol))
	})
	made["ports"] = manual.Table(ports)
	return insert(root, made)
}

// order has ports told from the top of the tree downwards.
func order(on string) string {
	return fmt.Sprint(slices.Index([]string{"root", "cluster", "worker"}, on)) + on
}

// ask has a program print its reference, without anything of this user's environment.
func ask(ctx context.Context, program, form string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "reference", "-o", form)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	var faults bytes.Buffer
	cmd.Stderr = &faults
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its reference: %w: %s", filepath.Base(program), err, faults.Bytes())
	}
	return out, nil
}

// insert puts what was made into the pages that have a place for it.
func insert(root string, made map[string]string) error {
	const open, end = "<!-- made: ", "<!-- made: end -->"
	files, err := blocks.Files(root)
	if err != nil {
		return err
	}
	for _, file := range files {
		path := filepath.Join(root, filepath.FromSlash(file))
		body, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read document: %w", err)
		}
		var out strings.Builder
		rest := string(body)
		for {
			before, after, found := strings.Cut(rest, open)
			out.WriteString(before)
			if !found {
				break
			}
			name, after, ok := strings.Cut(after, " -->\n")
			text, known := made[name]
			_, tail, closed := strings.Cut(after, end)
			if !ok || !known || !closed {
				return fmt.Errorf("%s: %q: no such part is made, or it has no end", file, open+name)
			}
			out.WriteString(open + name + " -->\n" + text + end)
			rest = tail
		}
		if err := write(path, []byte(out.String())); err != nil {
			return err
		}
	}
	return nil
}

// write leaves a file alone that says this already.
func write(path string, body []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, body) {
		return nil
	}
	if err := os.WriteFile(path, body, 0o644); err != nil { //nolint:gosec // documents are for everybody
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}
