// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path"
	"strings"
)

// modules are what a kernel's package holds of modules, by name.
type modules struct {
	files   map[string][]byte // as they come, compressed or not
	builtin map[string]bool
}

func (k *Kernel) readModules(ctx context.Context) (*modules, error) {
	files, err := readDeb(ctx, k.kernelDeb, func(name string) bool {
		return strings.Contains(path.Base(name), ".ko") || path.Base(name) == "modules.builtin"
	})
	if err != nil {
		return nil, err
	}
	m := &modules{files: map[string][]byte{}, builtin: map[string]bool{}}
	for name, body := range files {
		if path.Base(name) == "modules.builtin" {
			for line := range strings.Lines(string(body)) {
				m.builtin[moduleName(strings.TrimSpace(line))] = true
			}
			continue
		}
		if strings.HasSuffix(name, ".xz") {
			m.files[moduleName(name)+".xz"] = body
		} else {
			m.files[moduleName(name)] = body
		}
	}
	return m, nil
}

// known tells whether there is a module to load.
func (m *modules) known(name string) bool {
	return m.files[name] != nil || m.files[name+".xz"] != nil
}

// body returns a module as the kernel loads it.
func (m *modules) body(ctx context.Context, name string) ([]byte, error) {
	if body := m.files[name]; body != nil {
		return body, nil
	}
	cmd := exec.CommandContext(ctx, "xz", "-dc")
	cmd.Stdin = bytes.NewReader(m.files[name+".xz"])
	body, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("decompress module %s: %w (package xz-utils has xz)", name, err)
	}
	m.files[name] = body
	return body, nil
}

// pick returns the wanted modules and all that they need, in the order of loading.
func (m *modules) pick(ctx context.Context, wanted []string) ([]string, error) {
	for _, name := range wanted {
		if !m.known(name) && !m.builtin[name] {
			return nil, fmt.Errorf("the kernel has no %s, neither as a module nor built in", name)
		}
	}
	return loadOrder(wanted, m.known, func(name string) ([]string, error) {
		body, err := m.body(ctx, name)
		if err != nil {
			return nil, err
		}
		return moduleDepends(name, body)
	})
}
