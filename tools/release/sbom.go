// SPDX-License-Identifier: Apache-2.0

package release

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// The part of CycloneDX 1.6 that is needed to say which modules are in a program.
type bom struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     bomMetadata  `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type bomMetadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Licenses   []license  `json:"licenses,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type license struct {
	Expression string `json:"expression"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// ownLicence is that of the programs; the BPF objects inside may be had under either of two others.
const ownLicence = "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)"

// listContents writes beside an artefact which programs and modules are in it, as the programs themselves tell.
func (b *build) listContents(a artefact, bin string) error {
	list := bom{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: bomMetadata{
		Timestamp: b.At.UTC().Format(time.RFC3339),
		Component: component{Type: "application", Ref: a.name, Name: a.name, Version: b.Version, Licenses: []license{{ownLicence}}},
	}}
	all := map[string]component{}
	top := dependency{Ref: a.name}
	for _, name := range slices.Sorted(slices.Values(a.programs)) {
		c, modules, err := b.contentsOf(filepath.Join(bin, name))
		if err != nil {
			return err
		}
		all[c.Ref] = c
		top.DependsOn = append(top.DependsOn, c.Ref)
		d := dependency{Ref: c.Ref}
		for _, m := range modules {
			all[m.Ref] = m
			d.DependsOn = append(d.DependsOn, m.Ref)
		}
		list.Dependencies = append(list.Dependencies, d)
	}
	list.Dependencies = append([]dependency{top}, list.Dependencies...)
	for _, ref := range slices.Sorted(maps.Keys(all)) {
		list.Components = append(list.Components, all[ref])
	}
	list.Serial = serial(list)
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return fmt.Errorf("list contents of %s: %w", a.name, err)
	}
	if err := os.WriteFile(b.path(a.name+".cdx.json"), append(text, '\n'), modeFile); err != nil {
		return fmt.Errorf("list contents of %s: %w", a.name, err)
	}
	return nil
}

// contentsOf returns a program, and the modules that are in it.
func (b *build) contentsOf(path string) (component, []component, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return component{}, nil, fmt.Errorf("read what is in %s: %w", filepath.Base(path), err)
	}
	sum, err := sumOf(path)
	if err != nil {
		return component{}, nil, fmt.Errorf("read what is in %s: %w", filepath.Base(path), err)
	}
	name := filepath.Base(path)
	c := component{Type: "application", Ref: "program:" + name, Name: name, Version: b.Version, Licenses: []license{{ownLicence}},
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum)}}}
	for _, s := range info.Settings {
		if strings.HasPrefix(s.Key, "GO") {
			c.Properties = append(c.Properties, property{"go:build:" + s.Key, s.Value})
		}
	}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	modules := []component{{Type: "library", Ref: "pkg:golang/std@" + goVersion, Name: "std", Version: goVersion, PURL: "pkg:golang/std@" + goVersion}}
	for _, m := range info.Deps {
		modules = append(modules, module(m))
	}
	return c, modules, nil
}

func module(m *debug.Module) component {
	m = cmp.Or(m.Replace, m)
	purl := "pkg:golang/" + strings.ToLower(m.Path) + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
	c := component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
	// go.sum's sums are of a list of the module's files, which no other tool knows as a hash of anything.
	if raw, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
		if _, err := base64.StdEncoding.DecodeString(raw); err == nil {
			c.Properties = []property{{"go:sum", m.Sum}}
		}
	}
	return c
}

// serial names a list by what it says, in the form of a UUID of version 8.
func serial(list bom) string {
	text, _ := json.Marshal(list) // has nothing in it that could fail
	u := sha256.Sum256(text)
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
