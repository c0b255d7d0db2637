// SPDX-License-Identifier: Apache-2.0

package sla_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TestParseMarshalRoundTrip: what Parse accepts, Marshal writes so that Parse gives the same back.
func TestParseMarshalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := descriptor(t)
		body, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("marshal: %v", err)
		}
		got, err := sla.Parse(body)
		if err != nil {
			t.Fatalf("parse: %v\n%s", err, body)
		}
		if !reflect.DeepEqual(&d, got) {
			t.Fatalf("wrote %+v\nread %+v\n%s", d, *got, body)
		}
	})
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	for _, name := range files {
		body, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(body)
	}
	f.Add([]byte(`{"sla_version":"v2.0","customerID":"","applications":[],"<\u2028":"\ud800<","vcpu":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := sla.Parse(body)
		if err != nil {
			return
		}
		written, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := sla.Parse(written)
		if err != nil || !reflect.DeepEqual(d, again) {
			t.Fatalf("%s\nbecame\n%s\n%v", body, written, err)
		}
	})
}

// list draws up to two items, nil if none, as Parse gives back an empty list.
func list[T any](t *rapid.T, label string, item func(*rapid.T, int) T) []T {
	var out []T
	for i := range rapid.IntRange(0, 2).Draw(t, label) {
		out = append(out, item(t, i))
	}
	return out
}

func texts(t *rapid.T, label string) []string {
	return list(t, label, func(t *rapid.T, _ int) string { return rapid.StringMatching(`[^\x00]{0,20}`).Draw(t, label) })
}

func extra(t *rapid.T) map[string]json.RawMessage {
	if !rapid.Bool().Draw(t, "extra") {
		return nil
	}
	value, err := json.Marshal(rapid.MapOf(rapid.StringMatching(`[^\x00]{0,20}`), rapid.Int()).Draw(t, "extra value"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]json.RawMessage{rapid.SampledFrom([]string{"vm_images", "last_modified_timestamp", "RR_ip"}).Draw(t, "extra key"): value}
}

// addr draws the n-th address, so that those of one service differ, of a prefix, or none.
func addr(t *rapid.T, prefix string, n int) netip.Addr {
	if !rapid.Bool().Draw(t, "address") {
		return netip.Addr{}
	}
	return netip.MustParseAddr(fmt.Sprintf("%s%d", prefix, 6*rapid.IntRange(0, 15).Draw(t, "host")+n+1))
}

func descriptor(t *rapid.T) sla.Descriptor {
	name := rapid.StringMatching(`[a-zA-Z0-9]{1,29}`)
	d := sla.Descriptor{SLAVersion: sla.Version, CustomerID: rapid.StringMatching(`[^\x00]{0,20}`).Draw(t, "customer"), Applications: []sla.Application{}, Args: texts(t, "args"), Extra: extra(t)}
	d.Applications = append(d.Applications, list(t, "applications", func(t *rapid.T, i int) sla.Application {
		a := sla.Application{
			ApplicationID: rapid.StringMatching(`[0-9a-f]{0,24}`).Draw(t, "id"), Name: name.Draw(t, "name") + fmt.Sprint(i),
			Namespace: name.Draw(t, "namespace"), Description: rapid.StringMatching(`[^\x00]{0,20}`).Draw(t, "description"), Microservices: []sla.Microservice{}, Extra: extra(t),
		}
		a.Microservices = append(a.Microservices, list(t, "microservices", func(t *rapid.T, j int) sla.Microservice {
			m := microservice(t)
			m.Name, m.Namespace = name.Draw(t, "name")+fmt.Sprint(j), name.Draw(t, "namespace")
			return m
		})...)
		return a
	})...)
	return d
}

func microservice(t *rapid.T) sla.Microservice {
	m := sla.Microservice{
		Virtualization: rapid.SampledFrom([]string{"container", "docker", "unikernel", "runsc"}).Draw(t, "virtualization"),
		Code:           rapid.SampledFrom([]string{"nginx", "ghcr.io/a/b:v1", "localhost:5000/x@sha256:" + fmt.Sprintf("%064d", 7)}).Draw(t, "code"),
		Cmd:            texts(t, "cmd"),
		Environment:    list(t, "environment", func(t *rapid.T, _ int) string { return rapid.StringMatching(`[A-Z]{1,5}=[^\x00]{0,9}`).Draw(t, "env") }),
		MemoryMB:       rapid.IntRange(0, sla.MaxMemoryMB).Draw(t, "memory"), VCPUs: rapid.IntRange(0, sla.MaxVCPUs).Draw(t, "vcpus"),
		VGPUs: rapid.IntRange(0, 9).Draw(t, "vgpus"), VTPUs: rapid.IntRange(0, 9).Draw(t, "vtpus"),
		BandwidthIn: rapid.IntRange(0, 9).Draw(t, "in"), BandwidthOut: rapid.IntRange(0, 9).Draw(t, "out"), StorageMB: rapid.IntRange(0, sla.MaxStorageMB).Draw(t, "storage"),
		Port:    rapid.SampledFrom([]string{"", "80", "80:8080/tcp;53/udp", "1;2;3:4"}).Draw(t, "port"),
		OneShot: rapid.Bool().Draw(t, "one shot"), Privileged: rapid.Bool().Draw(t, "privileged"),
		Arch:     list(t, "arch", func(t *rapid.T, _ int) string { return rapid.SampledFrom([]string{"amd64", "arm64"}).Draw(t, "arch") }),
		Platform: rapid.SampledFrom([]string{"", "linux/arm64", "linux/arm/v7"}).Draw(t, "platform"), Extra: extra(t),
		Constraints: list(t, "constraints", func(t *rapid.T, _ int) sla.Constraint {
			return sla.Constraint{
				Type: rapid.SampledFrom(sla.ConstraintTypes()).Draw(t, "type"), Area: "munich", Location: "11.5;48.1", Cluster: "c", Node: "a;b",
				Threshold: rapid.Float64Range(1e-6, 1e9).Draw(t, "threshold"), Rigidness: rapid.Float64Range(0, 1).Draw(t, "rigidness"),
				ConvergenceTime: 3, Needs: []string{"x"}, Allowed: []string{"y"}, Extra: extra(t),
			}
		}),
		Connectivity: list(t, "connectivity", func(t *rapid.T, _ int) sla.Connectivity {
			c := sla.Connectivity{TargetMicroserviceID: rapid.StringMatching(`[^\x00]{0,20}`).Draw(t, "target"), Constraints: []sla.LinkConstraint{}, Extra: extra(t)}
			c.Constraints = append(c.Constraints, list(t, "links", func(t *rapid.T, _ int) sla.LinkConstraint {
				return sla.LinkConstraint{Type: "bandwidth", Threshold: rapid.Float64Range(1e-6, 1e9).Draw(t, "threshold"), Extra: extra(t)}
			})...)
			return c
		}),
		Volumes: list(t, "volumes", func(t *rapid.T, i int) sla.Volume {
			return sla.Volume{ID: fmt.Sprintf("v%d", i), Driver: "csi.example.org", MountPath: rapid.SampledFrom([]string{"", fmt.Sprintf("/data/%d", i)}).Draw(t, "path"), Extra: extra(t)}
		}),
	}
	if rapid.Bool().Draw(t, "care") {
		n, undo, seconds := rapid.IntRange(0, sla.MaxReplicas).Draw(t, "replicas"), rapid.Bool().Draw(t, "rollback"), rapid.IntRange(0, 99)
		m.Replicas = &n
		m.Restart = &wire.RestartPolicy{Policy: wire.RestartOnFailure, Attempts: seconds.Draw(t, "attempts"), DelaySeconds: seconds.Draw(t, "delay")}
		m.Liveness = &wire.Probe{Exec: &wire.ExecProbe{Command: []string{"true"}}, PeriodSeconds: seconds.Draw(t, "period")}
		m.Readiness = &wire.Probe{HTTP: &wire.HTTPProbe{Path: "/ready", Port: 80}, TimeoutSeconds: seconds.Draw(t, "timeout")}
		m.Update = &sla.Update{Strategy: sla.UpdateRecreate, MaxUnavailable: seconds.Draw(t, "unavailable"), Rollback: &undo}
		m.RegistryCredentials, m.Labels = "registry", map[string]string{"example.org/tier": "front", "empty": ""}
		m.Secrets = []wire.SecretRef{{Name: "key", Env: "KEY"}, {Name: "key", File: "/run/key"}}
	}
	if rapid.Bool().Draw(t, "addresses") {
		m.Addresses = &sla.Addresses{
			RRIP: addr(t, "10.30.7.", 0), RRIPv6: addr(t, "fdff:2000::", 1), ClosestIP: addr(t, "10.30.7.", 2), ClosestIPv6: addr(t, "fdff:1000::", 3),
			UnderutilizedIP: addr(t, "10.30.7.", 4), UnderutilizedIPv6: addr(t, "fdff:3000::", 5), Extra: extra(t),
		}
	}
	return m
}
