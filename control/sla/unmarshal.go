// SPDX-License-Identifier: Apache-2.0

package sla

// UnmarshalJSON reads a descriptor as [Parse] does, ids and addresses of any range accepted: it is for descriptors that
// were checked before, such as those out of a store. Use [Parse] for what a user sends.
func (d *Descriptor) UnmarshalJSON(body []byte) error {
	r := &reader{options: Options{AllowIDs: true}}
	*d = r.descriptor(r.root(body))
	d.Warnings = r.warnings
	return r.err()
}

// UnmarshalJSON is [Descriptor.UnmarshalJSON] for one application.
func (a *Application) UnmarshalJSON(body []byte) error {
	r := &reader{options: Options{AllowIDs: true}}
	*a = r.application(r.root(body))
	return r.err()
}

// UnmarshalJSON is [Descriptor.UnmarshalJSON] for one microservice.
func (m *Microservice) UnmarshalJSON(body []byte) error {
	r := &reader{options: Options{AllowIDs: true}}
	*m = r.microservice(r.root(body))
	return r.err()
}
