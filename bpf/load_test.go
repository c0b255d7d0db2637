// SPDX-License-Identifier: Apache-2.0

package bpf

import "testing"

func TestLoad(t *testing.T) {
	p, m, err := Load("")
	if err != nil {
		t.Fatalf("%+v", err)
	}
	p.Close()
	m.Close()
	v, err := Version()
	t.Log(v, err)
}
