// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// A client whose connection breaks after root has done what it was asked for asks again, and it is done once.
func TestLostAnswersCreateNothingTwice(t *testing.T) {
	s := start(t)
	target, err := url.Parse(s.plain)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	var lost atomic.Int32
	proxy.ModifyResponse = func(resp *http.Response) error {
		if resp.Request.Method == http.MethodPost && resp.Request.URL.Path != "/api/auth/login" && lost.Add(1)%3 != 0 {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	c, err := client.New(client.Options{URL: front.URL})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.NoError(t, c.Login(t.Context(), users.AdminName, password, ""))

	descriptor := `{"sla_version":"v2.0","customerID":"Admin","applications":[{"applicationID":"","application_name":"app","application_namespace":"test","microservices":[
		{"microserviceID":"","microservice_name":"svc","microservice_namespace":"test","virtualization":"container","code":"example.org/x:1","memory":1,"vcpus":1,"storage":0}]}]}`
	all, err := c.CreateApplication(t.Context(), []byte(descriptor))
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.EqualValues(t, 3, lost.Load(), "the first two answers were lost")
	for n := range 3 {
		require.NoError(t, c.AddInstance(t.Context(), all[0].Microservices[0]))
		require.Equal(t, n+1, s.count(`SELECT count(*) FROM instance`), fmt.Sprint("after instance ", n))
	}
	require.EqualValues(t, 12, lost.Load())
	// Somebody else's name is refused as ever, not answered.
	_, err = c.CreateApplication(t.Context(), []byte(descriptor))
	require.True(t, client.HasStatus(err, http.StatusConflict), "%v", err)
}
