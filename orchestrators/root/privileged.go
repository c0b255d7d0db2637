// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"net/http"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// mayOwn refuses a privileged service, which owns the machine that it runs on, unless the user is an administrator or has the role
// Infrastructure_Provider. Workers have to allow it besides.
func mayOwn(p users.Principal, m *sla.Microservice, path string) error {
	if !m.Privileged || p.OwnsMachines() {
		return nil
	}
	return httpapi.NewProblem(http.StatusForbidden, "privileged_not_allowed",
		"a privileged service owns the machine that it runs on: that takes the role %s or %s", users.RoleInfrastructureProvider, users.RoleAdmin).
		At(path + ".privileged")
}

// mayOwnAll checks all services of a descriptor.
func mayOwnAll(p users.Principal, d *sla.Descriptor) error {
	for i := range d.Applications {
		for j := range d.Applications[i].Microservices {
			path := fmt.Sprintf("$.applications[%d].microservices[%d]", i, j)
			if err := mayOwn(p, &d.Applications[i].Microservices[j], path); err != nil {
				return err
			}
		}
	}
	return nil
}
