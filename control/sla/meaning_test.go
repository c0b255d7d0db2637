// SPDX-License-Identifier: Apache-2.0

package sla_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/sla"
)

// What nothing acts on is refused by name, with the way out; what limits something, only within its bounds.
func TestWhatWouldNotBeDoneIsRefused(t *testing.T) {
	near := func(fields string) string {
		return `{"constraints":[{"type":"latency","area":"Munich",` + fields + `}]}`
	}
	link := func(fields string) string {
		return `{"connectivity":[{"target_microservice_id":"db","con_constraints":[{"type":"latency",` + fields + `}]}]}`
	}
	constraint, connection := at+".constraints[0]", at+".connectivity[0].con_constraints[0]"
	tellFaults(t, map[string]fault{
		"files":                  {`{"added_files":["f"]}`, at + ".added_files", "is not supported: put the files into the image"},
		"arguments":              {`{"args":["x"]}`, at + ".args", "is not supported: write the arguments into cmd"},
		"target":                 {`{"target_node":"w1"}`, at + ".target_node", "is not supported: use a constraint of type direct"},
		"strategy":               {`{"sla_violation_strategy":"x"}`, at + ".sla_violation_strategy", "is not supported: give constraints a convergence_time"},
		"no threshold":           {near(`"rigidness":1`), constraint + ".threshold", "is 0, has to be above 0"},
		"threshold below 0":      {near(`"threshold":-3`), constraint + ".threshold", "is -3, has to be 0 or more"},
		"geo without threshold":  {`{"constraints":[{"type":"geo","location":"11;48"}]}`, constraint + ".threshold", "is 0, has to be above 0"},
		"too rigid":              {near(`"threshold":3,"rigidness":1.5`), constraint + ".rigidness", "is 1.5, has to be from 0 to 1"},
		"converges never":        {near(`"threshold":3,"convergence_time":1e9`), constraint + ".convergence_time", "has to be from 0 to 86400 seconds"},
		"link without threshold": {link(`"rigidness":1`), connection + ".threshold", "is 0, has to be above 0"},
		"link too rigid":         {link(`"threshold":3,"rigidness":2`), connection + ".rigidness", "is 2, has to be from 0 to 1"},
	})
}

// What was stored before these rules, and what clients send back, is read all the same; a state is the server's to tell.
func TestWhatWasStoredBeforeIsRead(t *testing.T) {
	var m sla.Microservice
	require.NoError(t, json.Unmarshal([]byte(`{"microserviceID":"","microservice_name":"a","microservice_namespace":"b","virtualization":"container",
		"code":"nginx","added_files":["f"],"args":["g"],"target_node":"n","constraints":[{"type":"latency","area":"x","rigidness":7}]}`), &m))
	require.Equal(t, "n", m.TargetNode)
	d, err := sla.Parse(service(t, `{"state":"RUNNING"}`))
	require.NoError(t, err)
	require.Len(t, d.Warnings, 1)
	require.Contains(t, d.Warnings[0], `field "state" is ignored`)
}
