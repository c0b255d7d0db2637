// SPDX-License-Identifier: Apache-2.0

package sla_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/sla"
)

// What means nothing is refused by name, unless a server has added it; what was stored is read all the same.
func TestFieldsThatMeanNothingAreFaults(t *testing.T) {
	const inside = "$.applications[0].microservices[0]"
	for fields, want := range map[string]string{
		`{"vcpu":1}`:                      inside + `.vcpu: is no field of a descriptor: did you mean "vcpus"?`,
		`{"Memory":1}`:                    `did you mean "memory"?`,
		`{"oneShot":true}`:                `did you mean "one_shot"?`,
		`{"env":["A=1"]}`:                 `did you mean "environment"?`,
		`{"addresses":{"rr_ipv6":"::1"}}`: inside + `.addresses.rr_ipv6: is no field of a descriptor: did you mean "rr_ip_v6"?`,
		`{"something":1}`:                 inside + `.something: is no field of a descriptor`,
		`{"volumes":[{"volume_id":"v","csi_driver":"d","size":1}]}`: inside + `.volumes[0].size: is no field of a descriptor`,
	} {
		_, err := sla.Parse(service(t, fields))
		require.ErrorContains(t, err, want, fields)
		var stored sla.Descriptor
		require.NoError(t, json.Unmarshal(service(t, fields), &stored), fields)
	}
	d, err := sla.Parse(service(t, `{"vm_images":[],"job_name":"a","status":"x"}`))
	require.NoError(t, err)
	assert.Empty(t, d.Warnings)
}

func TestWhatCanBeReadTwoWaysIsRefused(t *testing.T) {
	for body, path := range map[string]string{
		`{"sla_version":"v2.0","customerID":"","applications":[],"sla_version":"v1.0"}`:                                             "$.sla_version",
		`{"sla_version":"v2.0","customerID":"","applications":[{"application_name":"a","application_name":"b"}]}`:                   "$.applications[0].application_name",
		`{"sla_version":"v2.0","customerID":"","applications":[],"args":` + strings.Repeat("[", 80) + strings.Repeat("]", 80) + `}`: "$",
	} {
		_, err := sla.Parse([]byte(body))
		var fault *sla.ValidationError
		require.ErrorAs(t, err, &fault, body)
		assert.Equal(t, path, fault.Path)
	}
}
