// SPDX-License-Identifier: Apache-2.0

// Package samples owns the descriptors that oak brings along, so that a newcomer has something to deploy. It knows nothing
// of where they go.
package samples

import (
	"embed"
	"slices"
	"strings"
)

//go:embed *.json
var files embed.FS

// Names lists the samples in alphabetical order.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil // an embedded folder is always readable
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	slices.Sort(names)
	return names
}

// Get returns the sample's descriptor, and false if there is no such sample.
func Get(name string) ([]byte, bool) {
	if !slices.Contains(Names(), name) {
		return nil, false
	}
	body, err := files.ReadFile(name + ".json")
	return body, err == nil
}
