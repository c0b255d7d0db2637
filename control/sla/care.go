// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"encoding/json"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of what a descriptor says on how instances are looked after.
const (
	maxSeconds   = 24 * 60 * 60
	maxAttempts  = 1000
	maxThreshold = 100
	maxCommand   = 128
	maxSecrets   = 32
	maxLabels    = 64
)

var (
	// SecretNameRE is what the name of a secret looks like.
	SecretNameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)
	envRE        = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,127}$`)
	// Labels are what Kubernetes takes: an optional prefix that is a domain, and a name; the value may be empty.
	labelKeyRE   = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$`)
	labelValueRE = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?)?$`)
)

// care reads how the instances of a microservice are looked after. These fields are this project's own, so that inside of them
// an unknown one is a fault: no generator of others writes it.
func (r *reader) care(o *object, m *Microservice) {
	if _, ok := o.fields["replicas"]; ok && string(o.fields["replicas"]) != "null" {
		n := o.integer("replicas", MaxReplicas)
		m.Replicas = &n
	} else {
		o.known = append(o.known, "replicas")
	}
	m.Restart = r.restart(o)
	m.Liveness = r.probe(o, "liveness_probe")
	m.Readiness = r.probe(o, "readiness_probe")
	m.Update = r.update(o)
	m.RegistryCredentials = o.string("registry_credentials", optional)
	if m.RegistryCredentials != "" && !SecretNameRE.MatchString(m.RegistryCredentials) {
		r.fail(o.at("registry_credentials"), "%q is no name of a secret: it does not match %s", clip(m.RegistryCredentials), SecretNameRE)
	}
	m.Secrets = r.secrets(o)
	m.Labels = r.labels(o)
}

// inner takes a field that is an object of this project's own; nil if absent.
func (o *object) inner(key string) *object {
	raw, ok := o.take(key, optional)
	if !ok {
		return nil
	}
	return o.r.object(o.at(key), raw)
}

// closed notes a fault for every field that was not asked for.
func (o *object) closed() {
	for _, key := range slices.Sorted(maps.Keys(o.fields)) {
		if !slices.Contains(o.known, key) {
			hint := ""
			if meant := nearMiss(key, o.known); meant != "" {
				hint = ": did you mean " + meant + "?"
			}
			o.r.fail(o.path+"."+clip(key), "is no field of this object%s", hint)
		}
	}
}

// oneOf notes a fault if s is set and none of the choices.
func (o *object) oneOf(key, s string, choices ...string) {
	if s != "" && !slices.Contains(choices, s) {
		o.r.fail(o.at(key), "%q is none of %s", clip(s), strings.Join(choices, ", "))
	}
}

func (r *reader) restart(o *object) *wire.RestartPolicy {
	in := o.inner("restart")
	if in == nil {
		return nil
	}
	p := &wire.RestartPolicy{
		Policy:          in.string("policy", required),
		Attempts:        in.integer("attempts", maxAttempts),
		DelaySeconds:    in.integer("delay_s", maxSeconds),
		MaxDelaySeconds: in.integer("max_delay_s", maxSeconds),
	}
	in.oneOf("policy", p.Policy, wire.RestartAlways, wire.RestartOnFailure, wire.RestartNever)
	if string(in.fields["policy"]) == `""` {
		r.fail(in.at("policy"), "is empty")
	}
	if p.MaxDelaySeconds != 0 && p.MaxDelaySeconds < p.DelaySeconds {
		r.fail(in.at("max_delay_s"), "is less than delay_s")
	}
	in.closed()
	return p
}

func (r *reader) probe(o *object, key string) *wire.Probe {
	in := o.inner(key)
	if in == nil {
		return nil
	}
	p := &wire.Probe{
		InitialDelaySeconds: in.integer("initial_delay_s", maxSeconds),
		PeriodSeconds:       in.integer("period_s", maxSeconds),
		TimeoutSeconds:      in.integer("timeout_s", maxSeconds),
		SuccessThreshold:    in.integer("success_threshold", maxThreshold),
		FailureThreshold:    in.integer("failure_threshold", maxThreshold),
	}
	kinds := 0
	if e := in.inner("exec"); e != nil {
		kinds++
		p.Exec = &wire.ExecProbe{Command: e.strings("command", nil)}
		if n := len(p.Exec.Command); n == 0 || n > maxCommand {
			r.fail(e.at("command"), "has %d words, has to have 1 to %d", n, maxCommand)
		}
		e.closed()
	}
	if h := in.inner("http"); h != nil {
		kinds++
		p.HTTP = &wire.HTTPProbe{Path: h.string("path", optional), Port: h.port("port")}
		h.atMost("path", p.HTTP.Path, maxText)
		if !strings.HasPrefix(p.HTTP.Path, "/") && p.HTTP.Path != "" || strings.ContainsFunc(p.HTTP.Path, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
			r.fail(h.at("path"), "%q is no path such as /healthz", clip(p.HTTP.Path))
		}
		h.closed()
	}
	if t := in.inner("tcp"); t != nil {
		kinds++
		p.TCP = &wire.TCPProbe{Port: t.port("port")}
		t.closed()
	}
	if kinds != 1 && in.fields != nil {
		r.fail(in.path, "needs exactly one of exec, http and tcp")
	}
	in.closed()
	return p
}

// port takes a required port number.
func (o *object) port(key string) uint16 {
	if _, ok := o.fields[key]; !ok {
		o.take(key, required)
		return 0
	}
	before := len(o.r.errors)
	n := o.integer(key, 65535)
	if n == 0 && len(o.r.errors) == before {
		o.r.fail(o.at(key), "has to be a port from 1 to 65535")
	}
	return uint16(n) //nolint:gosec // integer bounds it
}

func (r *reader) update(o *object) *Update {
	in := o.inner("update")
	if in == nil {
		return nil
	}
	u := &Update{
		Strategy:                in.string("strategy", optional),
		MaxUnavailable:          in.integer("max_unavailable", MaxReplicas),
		ProgressDeadlineSeconds: in.integer("progress_deadline_s", maxSeconds),
	}
	in.oneOf("strategy", u.Strategy, UpdateRolling, UpdateRecreate)
	if raw, ok := in.fields["rollback"]; ok && string(raw) != "null" {
		b := in.bool("rollback")
		u.Rollback = &b
	} else {
		in.known = append(in.known, "rollback")
	}
	in.closed()
	return u
}

func (r *reader) secrets(o *object) []wire.SecretRef {
	var out []wire.SecretRef
	targets := map[string]string{}
	for _, in := range o.objects("secrets", optional) {
		s := wire.SecretRef{Name: in.string("name", required), Env: in.string("env", optional), File: in.string("file", optional)}
		if _, ok := in.fields["name"]; ok && !SecretNameRE.MatchString(s.Name) {
			r.fail(in.at("name"), "%q is no name of a secret: it does not match %s", clip(s.Name), SecretNameRE)
		}
		switch {
		case (s.Env == "") == (s.File == ""):
			r.fail(in.path, "needs exactly one of env and file")
		case s.Env != "" && !envRE.MatchString(s.Env):
			r.fail(in.at("env"), "%q is no name of a variable", clip(s.Env))
		case s.File != "" && (!path.IsAbs(s.File) || path.Clean(s.File) != s.File || s.File == "/" || len(s.File) > maxText):
			r.fail(in.at("file"), "%q is no absolute path in its shortest form below /", clip(s.File))
		default:
			if first, ok := targets[s.Env+s.File]; ok {
				r.fail(in.path, "goes to the same place as %s", first)
			}
			targets[s.Env+s.File] = in.path
		}
		in.closed()
		out = append(out, s)
	}
	if len(out) > maxSecrets {
		r.fail(o.at("secrets"), "has %d entries, %d at most", len(out), maxSecrets)
	}
	return out
}

func (r *reader) labels(o *object) map[string]string {
	in := o.inner("labels")
	if in == nil {
		return nil
	}
	if len(in.fields) > maxLabels {
		r.fail(in.path, "has %d labels, %d at most", len(in.fields), maxLabels)
		return nil
	}
	var out map[string]string
	for _, key := range slices.Sorted(maps.Keys(in.fields)) {
		raw, at := in.fields[key], in.path+"."+clip(key)
		var value string
		switch {
		case !labelKeyRE.MatchString(key):
			r.fail(at, "the name does not match %s", labelKeyRE)
		case kind(raw) != "a string" || json.Unmarshal(raw, &value) != nil:
			r.fail(at, "expected a string, got %s", kind(raw))
		case !labelValueRE.MatchString(value):
			r.fail(at, "%q does not match %s", clip(value), labelValueRE)
		default:
			if out == nil {
				out = map[string]string{}
			}
			out[key] = value
		}
	}
	return out
}
