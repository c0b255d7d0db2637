// SPDX-License-Identifier: Apache-2.0

package sla_test

import "testing"

func TestFaultsOfCareNamePathAndReason(t *testing.T) {
	tellFaults(t, map[string]fault{
		"many replicas":        {`{"replicas":100000}`, at + ".replicas", "is 100000, has to be at most 1000"},
		"restart policy":       {`{"restart":{"policy":"sometimes"}}`, at + ".restart.policy", `"sometimes" is none of always`},
		"restart field":        {`{"restart":{"policy":"never","delays_s":1}}`, at + ".restart.delays_s", "did you mean delay_s?"},
		"probe of no kind":     {`{"liveness_probe":{"period_s":1}}`, at + ".liveness_probe", "exactly one of exec, http and tcp"},
		"probe of two kinds":   {`{"readiness_probe":{"tcp":{"port":1},"http":{"port":1}}}`, at + ".readiness_probe", "exactly one of"},
		"probe without port":   {`{"readiness_probe":{"tcp":{}}}`, at + ".readiness_probe.tcp.port", "is required"},
		"probe's port":         {`{"readiness_probe":{"http":{"port":0}}}`, at + ".readiness_probe.http.port", "from 1 to 65535"},
		"probe's path":         {`{"readiness_probe":{"http":{"port":1,"path":"x y"}}}`, at + ".readiness_probe.http.path", "is no path"},
		"probe's command":      {`{"liveness_probe":{"exec":{}}}`, at + ".liveness_probe.exec.command", "has to have 1 to 128"},
		"update":               {`{"update":{"strategy":"blue"}}`, at + ".update.strategy", "none of rolling, recreate"},
		"secret's name":        {`{"secrets":[{"name":"../x","env":"A"}]}`, at + ".secrets[0].name", "no name of a secret"},
		"secret's target":      {`{"secrets":[{"name":"x","env":"A","file":"/x"}]}`, at + ".secrets[0]", "exactly one of env and file"},
		"secret's path":        {`{"secrets":[{"name":"x","file":"/x/../y"}]}`, at + ".secrets[0].file", "no absolute path"},
		"secrets in one place": {`{"secrets":[{"name":"x","env":"A"},{"name":"y","env":"A"}]}`, at + ".secrets[1]", "same place as"},
		"secret's value":       {`{"secrets":[{"name":"x","env":"A","value":"hush"}]}`, at + ".secrets[0].value", "is no field"},
		"credentials":          {`{"registry_credentials":"A B"}`, at + ".registry_credentials", "no name of a secret"},
		"label":                {`{"labels":{"a b":"c"}}`, at + ".labels.a b", "does not match"},
		"label's value":        {`{"labels":{"a":"c/d"}}`, at + ".labels.a", "does not match"},
	})
}
