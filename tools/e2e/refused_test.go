// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
)

// refused: what is wrong with a descriptor is said with its path, and the server goes on.
func refused(t *testing.T, s *scene.Scene) {
	service := func(field string) string {
		return `{"sla_version":"v2.0","customerID":"Admin","applications":[{"applicationID":"","application_name":"bad",
			"application_namespace":"test","microservices":[{"microserviceID":"","microservice_name":"bad",
			"microservice_namespace":"test","virtualization":"container","code":"x/y:z",` + field + `}]}]}`
	}
	const large = 10 << 20
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"wrong type":      {service(`"memory":"much"`), http.StatusUnprocessableEntity, "memory"},
		"wrong port":      {service(`"port":"99999:80"`), http.StatusUnprocessableEntity, "port"},
		"unknown version": {`{"sla_version":"v9.9","customerID":"Admin","applications":[]}`, http.StatusUnprocessableEntity, "sla_version"},
		"broken JSON":     {`{"sla_version":`, http.StatusBadRequest, ""},
		"ten megabytes":   {`{"sla_version":"` + strings.Repeat("x", large) + `"}`, http.StatusRequestEntityTooLarge, ""},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := s.API.CreateApplication(ctx, []byte(c.body))
		cancel()
		if status(err) != c.status || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want status %d and %q named", name, err, c.status, c.says)
		}
	}
	if _, err := s.API.Applications(t.Context()); err != nil {
		t.Errorf("the server does not go on: %v", err)
	}
	res, err := http.Post(s.API.URL()+"/api/application/", "application/json", bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a login: status %d, want %d", res.StatusCode, http.StatusUnauthorized)
	}
}
