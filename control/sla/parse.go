// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/strictjson"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// maxErrors bounds how many faults of one descriptor are told.
const maxErrors = 64

// Options says how strictly a descriptor is read.
type Options struct {
	// Ranges are where service addresses have to lie; the zero value accepts any address of the right family.
	Ranges wire.Ranges
	// AllowIDs accepts microservices whose id is set, as they are in what the server gives out.
	AllowIDs bool
}

// Parse reads and checks a descriptor for creation, with the default address ranges. The error is a [*SyntaxError] or
// [ValidationErrors].
func Parse(body []byte) (*Descriptor, error) {
	return ParseWith(body, Options{Ranges: semantic.DefaultRanges()})
}

// ParseWith is [Parse] with options.
func ParseWith(body []byte, o Options) (*Descriptor, error) {
	if err := syntaxError(body); err != nil {
		return nil, err
	}
	var fault *strictjson.Fault
	if errors.As(strictjson.Check(body), &fault) {
		return nil, ValidationErrors{{Path: fault.Path, Reason: fault.Reason}}
	}
	r := &reader{options: o, strict: true}
	d := r.descriptor(r.root(body))
	if err := r.err(); err != nil {
		return nil, err
	}
	d.Warnings = r.warnings
	return &d, nil
}

// reader collects what is wrong with a descriptor while it is read.
type reader struct {
	options Options
	// strict makes a fault of every field that means nothing, save those that servers add to what they give out. What was stored is read
	// without: it is what an earlier release took.
	strict   bool
	errors   ValidationErrors
	warnings []string
}

// fail notes a fault; the format makes its reason.
func (r *reader) fail(path, format string, args ...any) {
	if len(r.errors) < maxErrors {
		r.errors = append(r.errors, &ValidationError{Path: path, Reason: fmt.Sprintf(format, args...)})
	}
}

// warn notes what is legal but probably a mistake.
func (r *reader) warn(path, format string, args ...any) {
	if len(r.warnings) < maxErrors {
		r.warnings = append(r.warnings, path+": "+fmt.Sprintf(format, args...))
	}
}

// err returns the collected faults, or nil.
func (r *reader) err() error {
	if len(r.errors) == 0 {
		return nil
	}
	return r.errors
}

// root starts reading at the top of body, which has to be sound JSON.
func (r *reader) root(body []byte) *object { return r.object("$", json.RawMessage(body)) }

// descriptor reads the top level. A descriptor of another version is not read any further: what its fields mean is unknown.
func (r *reader) descriptor(o *object) Descriptor {
	d := Descriptor{SLAVersion: o.string("sla_version", required)}
	if len(r.errors) == 0 && d.SLAVersion != Version {
		r.fail(o.at("sla_version"), "unknown version %q: this server reads %q", clip(d.SLAVersion), Version)
	}
	if len(r.errors) > 0 {
		return d
	}
	d.CustomerID = o.string("customerID", required)
	d.Applications = []Application{}
	seen := map[string]string{}
	for _, item := range o.objects("applications", required) {
		a := r.application(item)
		unique(r, seen, item.path, "application_name and application_namespace", a.Name+"."+a.Namespace)
		d.Applications = append(d.Applications, a)
	}
	d.Args = o.strings("args", nil)
	d.Extra = o.rest()
	return d
}

// application reads one of $.applications.
func (r *reader) application(o *object) Application {
	a := Application{
		ApplicationID: o.string("applicationID", optional),
		Name:          o.name("application_name"),
		Namespace:     o.name("application_namespace"),
		Description:   o.string("application_desc", optional),
		Microservices: []Microservice{},
	}
	o.atMost("applicationID", a.ApplicationID, maxID)
	o.atMost("application_desc", a.Description, maxText)
	seen := map[string]string{}
	for _, item := range o.objects("microservices", required) {
		m := r.microservice(item)
		unique(r, seen, item.path, "microservice_name and microservice_namespace", m.Name+"."+m.Namespace)
		a.Microservices = append(a.Microservices, m)
	}
	for _, item := range o.objects("constraints", optional) {
		a.Constraints = append(a.Constraints, r.constraint(item))
	}
	a.Extra = o.rest()
	return a
}

// unique notes a fault if key was met before, naming where. Names that are missing or malformed were told already.
func unique(r *reader, seen map[string]string, path, what, key string) {
	if _, _, _, _, err := semantic.ParseJobName(key + "." + key); err != nil {
		return
	}
	if first, ok := seen[key]; ok {
		r.fail(path, "has the same %s as %s", what, first)
		return
	}
	seen[key] = path
}
