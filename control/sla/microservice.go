// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"
)

// The most that a descriptor may ask for: far above any machine, far below an overflow.
const (
	MaxMemoryMB      = 1 << 24 // 16 TiB
	MaxVCPUs         = 4096
	MaxAccelerators  = 64
	MaxBandwidthKbit = 1_000_000_000 // 1 Tbit/s
	MaxStorageMB     = 1 << 30       // 1 PiB
	MaxReplicas      = 1000          // a service has 1,024 instances at most, those on their way out included
)

// RuntimeContainer is the name of the runtime for OCI containers.
const RuntimeContainer = "container"

var (
	runtimeRE  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)
	archRE     = regexp.MustCompile(`^[a-z0-9]{1,16}$`)
	platformRE = regexp.MustCompile(`^[a-z0-9]{1,16}(/[a-z0-9]{1,16}){1,2}$`)
)

// Runtime returns the runtime that the virtualization stands for: "docker" and "container" are both [RuntimeContainer].
func (m *Microservice) Runtime() string {
	if m.Virtualization == "docker" {
		return RuntimeContainer
	}
	return m.Virtualization
}

// microservice reads one service.
func (r *reader) microservice(o *object) Microservice {
	m := Microservice{
		ID:                o.string("microserviceID", optional),
		Name:              o.name("microservice_name"),
		Namespace:         o.name("microservice_namespace"),
		Virtualization:    o.string("virtualization", required),
		Code:              o.string("code", required),
		Cmd:               o.strings("cmd", nil),
		Environment:       o.strings("environment", r.environment),
		MemoryMB:          o.integer("memory", MaxMemoryMB),
		VCPUs:             o.integer("vcpus", MaxVCPUs),
		VGPUs:             o.integer("vgpus", MaxAccelerators),
		VTPUs:             o.integer("vtpus", MaxAccelerators),
		BandwidthIn:       o.integer("bandwidth_in", MaxBandwidthKbit),
		BandwidthOut:      o.integer("bandwidth_out", MaxBandwidthKbit),
		StorageMB:         o.integer("storage", MaxStorageMB),
		Port:              o.string("port", optional),
		OneShot:           o.bool("one_shot"),
		Privileged:        o.bool("privileged"),
		Arch:              o.strings("arch", r.architecture),
		Platform:          o.string("platform", optional),
		AddedFiles:        o.strings("added_files", nil),
		Args:              o.strings("args", nil),
		State:             o.string("state", optional),
		ViolationStrategy: o.string("sla_violation_strategy", optional),
		TargetNode:        o.string("target_node", optional),
	}
	if raw, ok := o.take("addresses", optional); ok {
		m.Addresses = r.addresses(r.object(o.at("addresses"), raw))
	}
	for _, item := range o.objects("constraints", optional) {
		m.Constraints = append(m.Constraints, r.constraint(item))
	}
	for _, item := range o.objects("connectivity", optional) {
		m.Connectivity = append(m.Connectivity, r.connectivity(item))
	}
	m.Volumes = r.volumes(o)
	r.care(o, &m)
	m.Extra = o.rest()

	if m.ID != "" && !r.options.AllowIDs {
		r.fail(o.at("microserviceID"), "has to be empty: the server gives ids")
	}
	o.atMost("microserviceID", m.ID, maxID)
	if m.Virtualization != "" && !runtimeRE.MatchString(m.Virtualization) {
		r.fail(o.at("virtualization"), "%q is no name of a runtime: use %q", clip(m.Virtualization), RuntimeContainer)
	}
	if m.Platform != "" && !platformRE.MatchString(m.Platform) {
		r.fail(o.at("platform"), "%q is no platform such as linux/arm64", clip(m.Platform))
	}
	r.code(o, &m)
	if r.strict {
		r.meaningless(o, &m)
	}
	if _, err := parsePorts(m.Port); err != nil {
		r.fail(o.at("port"), "%v", err)
	}
	return m
}

// meaningless refuses what the service would have to do without: nothing here acts on these fields, and nothing ever did in earlier releases.
func (r *reader) meaningless(o *object, m *Microservice) {
	for _, f := range []struct {
		key     string
		set     bool
		instead string
	}{
		{"added_files", len(m.AddedFiles) > 0, "put the files into the image, or give them as secrets with file"},
		{"args", len(m.Args) > 0, "write the arguments into cmd"},
		{"target_node", m.TargetNode != "", "use a constraint of type direct with node"},
		{"sla_violation_strategy", m.ViolationStrategy != "", "give constraints a convergence_time, after which an instance is moved"},
	} {
		if f.set {
			r.fail(o.at(f.key), "is not supported: %s", f.instead)
		}
	}
	if m.State != "" {
		r.warn(o.path, "field \"state\" is ignored: it is the server's to tell")
	}
}

// code checks the image reference, and that required strings which are present are not empty.
func (r *reader) code(o *object, m *Microservice) {
	for _, key := range []string{"virtualization", "code"} {
		if string(o.fields[key]) == `""` {
			r.fail(o.at(key), "is empty")
		}
	}
	switch {
	case m.Code == "":
	case len(m.Code) > maxText:
		o.atMost("code", m.Code, maxText)
	case strings.ContainsFunc(m.Code, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }):
		r.fail(o.at("code"), "%q contains white space", clip(m.Code))
	case m.Runtime() == RuntimeContainer:
		if _, err := name.ParseReference(m.Code); err != nil {
			r.fail(o.at("code"), "%q is no image reference such as docker.io/library/nginx:1.27", clip(m.Code))
		}
	}
}

// environment checks one entry of $.environment.
func (r *reader) environment(path, s string) {
	if key, _, ok := strings.Cut(s, "="); !ok || key == "" {
		r.fail(path, "%q has not the form KEY=VALUE", clip(s))
	}
}

// architecture checks one entry of $.arch.
func (r *reader) architecture(path, s string) {
	if meant := map[string]string{"x86_64": "amd64", "x86": "386", "aarch64": "arm64", "armv7l": "arm"}[s]; meant != "" {
		r.fail(path, "%q is not the name that Go uses: write %q", s, meant)
	} else if !archRE.MatchString(s) {
		r.fail(path, "%q is no architecture such as amd64 or arm64", clip(s))
	}
}
