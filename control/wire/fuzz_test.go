// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// kinds are all types of this package that are messages or parts of them, by name.
var kinds = map[string]reflect.Type{
	"AbroadAnswer":         reflect.TypeFor[wire.AbroadAnswer](),
	"AbroadGone":           reflect.TypeFor[wire.AbroadGone](),
	"AbroadService":        reflect.TypeFor[wire.AbroadService](),
	"Aggregate":            reflect.TypeFor[wire.Aggregate](),
	"AggregateGroup":       reflect.TypeFor[wire.AggregateGroup](),
	"Alive":                reflect.TypeFor[wire.Alive](),
	"ClusterAbroad":        reflect.TypeFor[wire.ClusterAbroad](),
	"ClusterDesired":       reflect.TypeFor[wire.ClusterDesired](),
	"ClusterInstance":      reflect.TypeFor[wire.ClusterInstance](),
	"ClusterJoinRequest":   reflect.TypeFor[wire.ClusterJoinRequest](),
	"ClusterOverlay":       reflect.TypeFor[wire.ClusterOverlay](),
	"ClusterOverlayAck":    reflect.TypeFor[wire.ClusterOverlayAck](),
	"ClusterRenewRequest":  reflect.TypeFor[wire.ClusterRenewRequest](),
	"ClusterReport":        reflect.TypeFor[wire.ClusterReport](),
	"ClusterReportAck":     reflect.TypeFor[wire.ClusterReportAck](),
	"Coordinate":           reflect.TypeFor[wire.Coordinate](),
	"Desired":              reflect.TypeFor[wire.Desired](),
	"DesiredInstance":      reflect.TypeFor[wire.DesiredInstance](),
	"ExecProbe":            reflect.TypeFor[wire.ExecProbe](),
	"ExecStart":            reflect.TypeFor[wire.ExecStart](),
	"ExplainedChoice":      reflect.TypeFor[wire.ExplainedChoice](),
	"Explanation":          reflect.TypeFor[wire.Explanation](),
	"Generation":           reflect.TypeFor[wire.Generation](),
	"HTTPProbe":            reflect.TypeFor[wire.HTTPProbe](),
	"Header":               reflect.TypeFor[wire.Header](),
	"HostPorts":            reflect.TypeFor[wire.HostPorts](),
	"Information":          reflect.TypeFor[wire.Information](),
	"InstanceKey":          reflect.TypeFor[wire.InstanceKey](),
	"InstanceReport":       reflect.TypeFor[wire.InstanceReport](),
	"InstanceSpec":         reflect.TypeFor[wire.InstanceSpec](),
	"Instances":            reflect.TypeFor[wire.Instances](),
	"InterestAddress":      reflect.TypeFor[wire.InterestAddress](),
	"InterestName":         reflect.TypeFor[wire.InterestName](),
	"JoinResponse":         reflect.TypeFor[wire.JoinResponse](),
	"LocalAttach":          reflect.TypeFor[wire.LocalAttach](),
	"LocalEndpoint":        reflect.TypeFor[wire.LocalEndpoint](),
	"LocalError":           reflect.TypeFor[wire.LocalError](),
	"LocalIdentity":        reflect.TypeFor[wire.LocalIdentity](),
	"LocalName":            reflect.TypeFor[wire.LocalName](),
	"LocalStatus":          reflect.TypeFor[wire.LocalStatus](),
	"Location":             reflect.TypeFor[wire.Location](),
	"LogsStart":            reflect.TypeFor[wire.LogsStart](),
	"NameKey":              reflect.TypeFor[wire.NameKey](),
	"NetEndpoint":          reflect.TypeFor[wire.NetEndpoint](),
	"NetEndpoints":         reflect.TypeFor[wire.NetEndpoints](),
	"NetInterest":          reflect.TypeFor[wire.NetInterest](),
	"NetNode":              reflect.TypeFor[wire.NetNode](),
	"NetObserver":          reflect.TypeFor[wire.NetObserver](),
	"NetPeer":              reflect.TypeFor[wire.NetPeer](),
	"NetPeers":             reflect.TypeFor[wire.NetPeers](),
	"NetResolved":          reflect.TypeFor[wire.NetResolved](),
	"NetRoutes":            reflect.TypeFor[wire.NetRoutes](),
	"NetSource":            reflect.TypeFor[wire.NetSource](),
	"OverlayGone":          reflect.TypeFor[wire.OverlayGone](),
	"OverlayOffer":         reflect.TypeFor[wire.OverlayOffer](),
	"OverlayWant":          reflect.TypeFor[wire.OverlayWant](),
	"Point":                reflect.TypeFor[wire.Point](),
	"Port":                 reflect.TypeFor[wire.Port](),
	"Probe":                reflect.TypeFor[wire.Probe](),
	"Proximity":            reflect.TypeFor[wire.Proximity](),
	"Ranges":               reflect.TypeFor[wire.Ranges](),
	"RefusalCount":         reflect.TypeFor[wire.RefusalCount](),
	"RegistryLogin":        reflect.TypeFor[wire.RegistryLogin](),
	"Rejection":            reflect.TypeFor[wire.Rejection](),
	"ResolvedAddress":      reflect.TypeFor[wire.ResolvedAddress](),
	"ResolvedName":         reflect.TypeFor[wire.ResolvedName](),
	"RestartPolicy":        reflect.TypeFor[wire.RestartPolicy](),
	"RouteInstance":        reflect.TypeFor[wire.RouteInstance](),
	"SecretRef":            reflect.TypeFor[wire.SecretRef](),
	"SecretRequest":        reflect.TypeFor[wire.SecretRequest](),
	"SecretResponse":       reflect.TypeFor[wire.SecretResponse](),
	"ServiceAddress":       reflect.TypeFor[wire.ServiceAddress](),
	"Slot":                 reflect.TypeFor[wire.Slot](),
	"Stamp":                reflect.TypeFor[wire.Stamp](),
	"StreamControlMessage": reflect.TypeFor[wire.StreamControlMessage](),
	"StreamEndMessage":     reflect.TypeFor[wire.StreamEndMessage](),
	"StreamRequest":        reflect.TypeFor[wire.StreamRequest](),
	"StreamStartMessage":   reflect.TypeFor[wire.StreamStartMessage](),
	"SubnetBlock":          reflect.TypeFor[wire.SubnetBlock](),
	"TCPProbe":             reflect.TypeFor[wire.TCPProbe](),
	"TerminalSize":         reflect.TypeFor[wire.TerminalSize](),
	"Tombstone":            reflect.TypeFor[wire.Tombstone](),
	"WorkerInstance":       reflect.TypeFor[wire.WorkerInstance](),
	"WorkerJoinRequest":    reflect.TypeFor[wire.WorkerJoinRequest](),
	"WorkerJoinResponse":   reflect.TypeFor[wire.WorkerJoinResponse](),
	"WorkerList":           reflect.TypeFor[wire.WorkerList](),
	"WorkerOrder":          reflect.TypeFor[wire.WorkerOrder](),
	"WorkerRenewRequest":   reflect.TypeFor[wire.WorkerRenewRequest](),
	"WorkerView":           reflect.TypeFor[wire.WorkerView](),
}

// FuzzMessage reads any bytes as each message. What is read is written so that it reads the same, and whoever asks it for its format and
// stamp is answered.
func FuzzMessage(f *testing.F) {
	names := slices.Sorted(maps.Keys(kinds))
	for i, name := range names {
		seed := reflect.New(kinds[name])
		fill(seed.Elem(), 0)
		body, err := json.Marshal(seed.Interface())
		if err != nil {
			f.Fatal(name, err)
		}
		f.Add(uint16(i), body)
		f.Add(uint16(i), []byte(`null`))
		f.Add(uint16(i), []byte(`{"format":99,"epoch":18446744073709551615,"revision":-1,"instances":[null],"workers":[{}],"changed":[{"spec":null}]}`))
	}
	f.Fuzz(func(t *testing.T, kind uint16, body []byte) {
		name := names[int(kind)%len(names)]
		read := reflect.New(kinds[name])
		if json.Unmarshal(body, read.Interface()) != nil {
			return
		}
		if m, ok := read.Interface().(interface{ Check() error }); ok {
			_ = m.Check()
		}
		if m, ok := read.Interface().(interface{ String() string }); ok {
			_ = m.String()
		}
		once, err := json.Marshal(read.Interface())
		if err != nil {
			t.Fatalf("%s: read, and cannot be written: %v", name, err)
		}
		again := reflect.New(kinds[name])
		if err := json.Unmarshal(once, again.Interface()); err != nil {
			t.Fatalf("%s: %s cannot be read back: %v", name, once, err)
		}
		twice, err := json.Marshal(again.Interface())
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s: written as %s, then as %s: %v", name, once, twice, err)
		}
	})
}

// fill sets what there is to set, so that a seed names every field.
func fill(v reflect.Value, depth int) {
	if depth > 6 || !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Int16, reflect.Int8:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint32, reflect.Uint64, reflect.Uint16, reflect.Uint8:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Bool:
		v.SetBool(true)
	}
}

// TestEveryMessageIsFuzzed keeps the table whole: a struct that is added here and not there is named.
func TestEveryMessageIsFuzzed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() {
				return true
			}
			if _, ok := spec.Type.(*ast.StructType); ok {
				found++
				require.Contains(t, kinds, spec.Name.Name, "add it to the table")
			}
			return true
		})
	}
	require.Len(t, kinds, found)
}
