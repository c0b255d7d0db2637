// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
	"strings"
)

// moduleName is a module's name as the kernel says it, from its file's.
func moduleName(file string) string {
	name := path.Base(file)
	if i := strings.Index(name, ".ko"); i >= 0 {
		name = name[:i]
	}
	return strings.ReplaceAll(name, "-", "_")
}

// loadOrder returns the wanted modules with all that they need, each after what it needs. A kernel's package has no list of these
// needs, which is made at installation; depends reads them out of the module itself. Names for which known says no are left out, as
// the kernel has them built in.
func loadOrder(wanted []string, known func(name string) bool, depends func(name string) ([]string, error)) ([]string, error) {
	var order []string
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(name string) error
	visit = func(name string) error {
		if !known(name) || state[name] == done {
			return nil
		}
		if state[name] == visiting {
			return fmt.Errorf("order modules: %s needs itself", name)
		}
		state[name] = visiting
		needs, err := depends(name)
		if err != nil {
			return err
		}
		for _, need := range needs {
			if err := visit(need); err != nil {
				return err
			}
		}
		state[name] = done
		order = append(order, name)
		return nil
	}
	for _, name := range wanted {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleDepends reads the names of the modules that a module needs from its section .modinfo.
func moduleDepends(name string, body []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", name, err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("read module %s: it has no section .modinfo", name)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", name, err)
	}
	return parseModinfo(info), nil
}

// parseModinfo takes the value of depends= out of NUL-terminated settings.
func parseModinfo(info []byte) []string {
	var names []string
	for setting := range bytes.SplitSeq(info, []byte{0}) {
		list, ok := bytes.CutPrefix(setting, []byte("depends="))
		if !ok {
			continue
		}
		for name := range bytes.SplitSeq(list, []byte{','}) {
			if len(name) > 0 {
				names = append(names, moduleName(string(name)))
			}
		}
	}
	return names
}
