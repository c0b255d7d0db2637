// SPDX-License-Identifier: Apache-2.0

package ledger

import "github.com/oakestra/oakestra-ebpf/control/wire"

// MayKnow reports whether an instance that a worker is to run refers to that version of an organisation's secret.
func (l *Ledger) MayKnow(worker, organization, name string, version int) bool {
	for key := range l.index.byWorker[worker] {
		for _, c := range l.copies[key] {
			if c.Worker == worker && !c.Stop && c.Spec.Organization == organization && refers(&c.Spec, name, version) {
				return true
			}
		}
	}
	return false
}

// refers reports whether a specification refers to that version of a secret.
func refers(s *wire.InstanceSpec, name string, version int) bool {
	for _, ref := range s.Secrets {
		if ref.Name == name && ref.Version == version {
			return true
		}
	}
	return s.RegistryCredentials != nil && s.RegistryCredentials.Name == name && s.RegistryCredentials.Version == version
}
