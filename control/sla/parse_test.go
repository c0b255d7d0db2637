// SPDX-License-Identifier: Apache-2.0

package sla_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// service returns a descriptor whose only service has the given fields besides those required, fields of the same name
// replacing them.
func service(t *testing.T, fields string) []byte {
	t.Helper()
	m := map[string]any{
		"microservice_name": "web", "microservice_namespace": "test", "virtualization": "container", "code": "docker.io/library/nginx:1.27",
	}
	require.NoError(t, json.Unmarshal([]byte(fields), &m), fields)
	body, err := json.Marshal(map[string]any{
		"sla_version": "v2.0", "customerID": "Admin", "applications": []any{map[string]any{
			"application_name": "app", "application_namespace": "ns", "microservices": []any{m},
		}},
	})
	require.NoError(t, err)
	return body
}

func TestUsersFilesParse(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		body, err := os.ReadFile(f)
		require.NoError(t, err)
		d, err := sla.Parse(body)
		require.NoError(t, err, f)
		assert.Empty(t, d.Warnings, f)
		assert.Empty(t, d.Applications[0].Extra, f)
	}
}

func TestParseReadsEveryField(t *testing.T) {
	d, err := sla.Parse(service(t, `{"microserviceID":"","virtualization":"docker","cmd":["sh","-c","x"],"environment":["A=b","C="],"memory":100.0,
		"vcpus":2,"vgpus":1,"vtpus":1,"bandwidth_in":3,"bandwidth_out":4,"storage":5,"port":"80;53:5353/udp","one_shot":true,"privileged":true,
		"addresses":{"rr_ip":"10.30.30.30","rr_ip_v6":"fdff:2000::1","closest_ip":"10.30.30.31","closest_ip_v6":"fdff:1000::1",
			"underutilized_ip":"10.30.30.32","underutilized_ip_v6":"fdff:3000::1","instances":[{"from":"a"}]},
		"constraints":[{"type":"direct","cluster":"c","node":"h1;h2"},{"type":"geo","location":"11.5;48.1","threshold":100}],
		"connectivity":[{"target_microservice_id":"x","con_constraints":[{"type":"latency","threshold":5,"rigidness":0.5,"convergence_time":3}]}],
		"volumes":[{"volume_id":"v","csi_driver":"hostpath","mount_path":"/data","config":{"host_path":"/srv"}}],
		"arch":["amd64"],"platform":"linux/amd64","added_files":[],"args":[],"state":"","sla_violation_strategy":"","target_node":"",
		"vm_images":{"b": [1, 2]}}`))
	require.NoError(t, err)
	m := &d.Applications[0].Microservices[0]
	assert.Equal(t, 100, m.MemoryMB)
	assert.Equal(t, sla.RuntimeContainer, m.Runtime())
	ports, err := m.Ports()
	require.NoError(t, err)
	assert.Equal(t, []wire.Port{{Host: 80, Container: 80, Protocol: "tcp"}, {Host: 53, Container: 5353, Protocol: "udp"}}, ports)
	assert.Len(t, m.Requested(), 6)
	assert.Equal(t, []string{"h1", "h2"}, m.Constraints[0].Nodes())
	assert.Equal(t, []string{"c"}, m.Constraints[0].Clusters())
	lat, lon, ok := m.Constraints[1].Coordinates()
	assert.True(t, ok)
	assert.Equal(t, []float64{48.1, 11.5}, []float64{lat, lon})
	assert.Equal(t, 0.5, m.Connectivity[0].Constraints[0].Rigidness)
	assert.Equal(t, map[string]string{"host_path": "/srv"}, m.Volumes[0].Config)
	assert.JSONEq(t, `{"b":[1,2]}`, string(m.Extra["vm_images"]))
	assert.Contains(t, m.Addresses.Extra, "instances")
	assert.Empty(t, d.Warnings)
}

// fault is a descriptor's service that has one fault, and how that is told.
type fault struct{ fields, path, reason string }

// at is the path of the service of [service].
const at = "$.applications[0].microservices[0]"

func TestFaultsNamePathAndReason(t *testing.T) {
	tellFaults(t, map[string]fault{
		"string for integer":   {`{"memory":"100"}`, at + ".memory", "expected an integer, got a string"},
		"fraction":             {`{"memory":1.5}`, at + ".memory", "expected an integer, got 1.5"},
		"negative":             {`{"vcpus":-1}`, at + ".vcpus", "is -1, has to be 0 or more"},
		"too much":             {`{"memory":16777217}`, at + ".memory", "is 16777217, has to be at most 16777216"},
		"integer for string":   {`{"code":7}`, at + ".code", "expected a string, got a number"},
		"string for list":      {`{"cmd":"sh"}`, at + ".cmd", "expected an array, got a string"},
		"list of numbers":      {`{"cmd":["sh",7]}`, at + ".cmd[1]", "expected a string, got a number"},
		"string for boolean":   {`{"one_shot":"yes"}`, at + ".one_shot", "expected a boolean, got a string"},
		"list for object":      {`{"addresses":[]}`, at + ".addresses", "expected an object, got an array"},
		"name":                 {`{"microservice_name":"web-1"}`, at + ".microservice_name", "does not match ^[a-zA-Z0-9]{1,30}$"},
		"newline in name":      {`{"microservice_name":"web\n"}`, at + ".microservice_name", "does not match"},
		"long name":            {`{"microservice_name":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`, at + ".microservice_name", "does not match"},
		"id":                   {`{"microserviceID":"x"}`, at + ".microserviceID", "has to be empty"},
		"missing":              {`{"code":null}`, at + ".code", "is required"},
		"missing, misspelt":    {`{"code":null,"image":"nginx"}`, at + ".code", `found "image": did you mean it?`},
		"empty code":           {`{"code":""}`, at + ".code", "is empty"},
		"image":                {`{"code":"Nginx:::"}`, at + ".code", "is no image reference"},
		"white space in image": {`{"code":"nginx latest"}`, at + ".code", "white space"},
		"virtualization":       {`{"virtualization":"../x"}`, at + ".virtualization", "no name of a runtime"},
		"environment":          {`{"environment":["A=1","B"]}`, at + ".environment[1]", "has not the form KEY=VALUE"},
		"port":                 {`{"port":"http"}`, at + ".port", `"http" is not HOST[:CONTAINER]`},
		"port 0":               {`{"port":"0:80"}`, at + ".port", "ports from 1 to 65535"},
		"port too big":         {`{"port":"80:65536"}`, at + ".port", "ports from 1 to 65535"},
		"port protocol":        {`{"port":"80/sctp"}`, at + ".port", "expected tcp or udp"},
		"reserved port":        {`{"port":"50103:80/udp"}`, at + ".port", "reserved for the overlay"},
		"root's port":          {`{"port":"10000"}`, at + ".port", "reserved for the root orchestrator"},
		"cluster's port":       {`{"port":"80;10100:80"}`, at + ".port", "reserved for the cluster orchestrator"},
		"broker's port":        {`{"port":"10003:1883/udp"}`, at + ".port", "reserved for the cluster's MQTT broker"},
		"container, not host":  {`{"port":"10000:10100;10000"}`, at + ".port", "host port 10000 is reserved"},
		"duplicate host port":  {`{"port":"80;80:8080"}`, at + ".port", "host port 80/tcp is there twice"},
		"address range":        {`{"addresses":{"rr_ip":"10.31.0.1"}}`, at + ".addresses.rr_ip", "lies outside 10.30.0.0/16"},
		"address network":      {`{"addresses":{"rr_ip":"10.30.0.0"}}`, at + ".addresses.rr_ip", "names the range"},
		"address broadcast":    {`{"addresses":{"rr_ip":"10.30.255.255"}}`, at + ".addresses.rr_ip", "broadcast"},
		"address family":       {`{"addresses":{"rr_ip":"fdff:2000::1"}}`, at + ".addresses.rr_ip", "is no IPv4 address"},
		"address policy":       {`{"addresses":{"closest_ip_v6":"fdff:2000::1"}}`, at + ".addresses.closest_ip_v6", "lies outside fdff:1000::/21"},
		"address zone":         {`{"addresses":{"rr_ip_v6":"fdff:2000::1%e"}}`, at + ".addresses.rr_ip_v6", "is no IPv6 address"},
		"address twice":        {`{"addresses":{"rr_ip":"10.30.0.9","closest_ip":"10.30.0.9"}}`, at + ".addresses", "for both rr and closest"},
		"constraint type":      {`{"constraints":[{"type":"nearby"}]}`, at + ".constraints[0].type", `"nearby" is none of direct`},
		"direct":               {`{"constraints":[{"type":"direct"}]}`, at + ".constraints[0]", "needs cluster or node"},
		"clusters":             {`{"constraints":[{"type":"clusters"}]}`, at + ".constraints[0].allowed", "needs clusters that are allowed or denied"},
		"geo":                  {`{"constraints":[{"type":"geo","location":"NaN;1"}]}`, at + ".constraints[0].location", "no location"},
		"threshold":            {`{"constraints":[{"type":"latency","area":"munich","threshold":"9"}]}`, at + ".constraints[0].threshold", "expected a number, got a string"},
		"connectivity":         {`{"connectivity":[{"target_microservice_id":"x","con_constraints":[{"type":"love"}]}]}`, at + ".connectivity[0].con_constraints[0].type", "neither latency nor bandwidth"},
		"volume":               {`{"volumes":[{"volume_id":"../v","csi_driver":"d"}]}`, at + ".volumes[0].volume_id", "does not match"},
		"volume path":          {`{"volumes":[{"volume_id":"v","csi_driver":"d","mount_path":"/a/../etc"}]}`, at + ".volumes[0].mount_path", "no absolute path"},
		"volume mounted twice": {`{"volumes":[{"volume_id":"v","csi_driver":"d"},{"volume_id":"w","csi_driver":"d","mount_path":"/mnt/csi/v"}]}`, at + ".volumes[1]", "is mounted at /mnt/csi/v like"},
		"volume config":        {`{"volumes":[{"volume_id":"v","csi_driver":"d","config":{"a":1}}]}`, at + ".volumes[0].config.a", "expected a string, got a number"},
		"architecture":         {`{"arch":["x86_64"]}`, at + ".arch[0]", `write "amd64"`},
		"platform":             {`{"platform":"arm"}`, at + ".platform", "no platform such as linux/arm64"},
	})
}

func tellFaults(t *testing.T, faults map[string]fault) {
	t.Helper()
	for name, tc := range faults {
		t.Run(name, func(t *testing.T) {
			_, err := sla.Parse(service(t, tc.fields))
			var first *sla.ValidationError
			require.ErrorAs(t, err, &first)
			assert.Equal(t, tc.path, first.Path)
			assert.Contains(t, first.Reason, tc.reason)
			var all sla.ValidationErrors
			require.ErrorAs(t, err, &all)
			assert.Len(t, all, 1, "a fault is told once: %v", err)
		})
	}
}

func TestFaultsAtTheTop(t *testing.T) {
	for name, tc := range map[string]struct{ body, path, reason string }{
		"no object":         {`[]`, "$", "expected an object, got an array"},
		"no version":        {`{}`, "$.sla_version", "is required"},
		"version type":      {`{"sla_version":2}`, "$.sla_version", "expected a string, got a number"},
		"old version":       {`{"sla_version":"v1.0"}`, "$.sla_version", `unknown version "v1.0": this server reads "v2.0"`},
		"no customer":       {`{"sla_version":"v2.0","applications":[]}`, "$.customerID", "is required"},
		"customer misspelt": {`{"sla_version":"v2.0","customerId":"x","applications":[]}`, "$.customerID", `found "customerId"`},
		"NUL in a text":     {`{"sla_version":"v2.0","customerID":"a\u0000b","applications":[]}`, "$.customerID", "NUL"},
		"NUL in a field":    {`{"sla_version":"v2.0","customerID":"","applications":[],"status":{"y":"\u0000"}}`, "$", "NUL"},
		"no applications":   {`{"sla_version":"v2.0","customerID":""}`, "$.applications", "is required"},
		"application type":  {`{"sla_version":"v2.0","customerID":"","applications":[7]}`, "$.applications[0]", "expected an object, got a number"},
		"number out of range": {`{"sla_version":"v2.0","customerID":"","applications":[{"application_name":"a","application_namespace":"b","microservices":[
			{"microservice_name":"m","microservice_namespace":"n","virtualization":"docker","code":"c","memory":1e999}]}]}`, "$.applications[0].microservices[0].memory", "1e999 is out of range"},
		"no microservices": {`{"sla_version":"v2.0","customerID":"","applications":[{"application_name":"a","application_namespace":"b"}]}`, "$.applications[0].microservices", "is required"},
		"same name twice": {`{"sla_version":"v2.0","customerID":"","applications":[{"application_name":"a","application_namespace":"b","microservices":[]},
			{"application_name":"a","application_namespace":"b","microservices":[]}]}`, "$.applications[1]", "as $.applications[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sla.Parse([]byte(tc.body))
			var first *sla.ValidationError
			require.ErrorAs(t, err, &first)
			assert.Equal(t, tc.path, first.Path)
			assert.Contains(t, first.Reason, tc.reason)
		})
	}
}

func TestAllFaultsAtOnceButBounded(t *testing.T) {
	_, err := sla.Parse(service(t, `{"memory":"x","vcpus":-1,"port":"y"}`))
	var all sla.ValidationErrors
	require.ErrorAs(t, err, &all)
	assert.Len(t, all, 3)
	assert.Len(t, strings.Split(err.Error(), "\n"), 3)

	_, err = sla.Parse(service(t, `{"cmd":[`+strings.Repeat("1,", 999)+`1]}`))
	require.ErrorAs(t, err, &all)
	assert.Len(t, all, 64)
}

func TestBrokenJSONNamesThePlace(t *testing.T) {
	for body, want := range map[string]sla.SyntaxError{
		"{\n  \"a\": 1,\n  }":    {Offset: 14, Line: 3, Column: 3, Reason: "invalid character '}' looking for beginning of object key string"},
		"":                       {Offset: 0, Line: 1, Column: 1, Reason: "unexpected end of JSON input"},
		"{\"a\":\n":              {Offset: 6, Line: 2, Column: 1, Reason: "unexpected end of JSON input"},
		"{} {}":                  {Offset: 3, Line: 1, Column: 4, Reason: "invalid character '{' after top-level value"},
		strings.Repeat("[", 1e5): {Offset: 10000, Line: 1, Column: 10001, Reason: "invalid character '[' exceeded max depth"},
	} {
		_, err := sla.Parse([]byte(body))
		var got *sla.SyntaxError
		require.ErrorAs(t, err, &got)
		assert.Equal(t, want, *got)
		assert.Contains(t, err.Error(), "broken JSON at line")
	}
}

func TestStoredDescriptorsComeBack(t *testing.T) {
	body := service(t, `{"microserviceID":"0123456789abcdef01234567","addresses":{"rr_ip":"192.0.2.1"}}`)
	_, err := sla.Parse(body)
	require.Error(t, err)
	var d sla.Descriptor
	require.NoError(t, json.Unmarshal(body, &d))
	assert.Equal(t, "192.0.2.1", d.Applications[0].Microservices[0].Addresses.RRIP.String())
	d2, err := sla.ParseWith(body, sla.Options{AllowIDs: true})
	require.NoError(t, err)
	assert.Equal(t, &d, d2)

	var m sla.Microservice
	err = json.Unmarshal([]byte(`{"microservice_name":"-"}`), &m)
	var fault *sla.ValidationError
	require.True(t, errors.As(err, &fault))
	assert.Equal(t, "$.microservice_name", fault.Path)
}
