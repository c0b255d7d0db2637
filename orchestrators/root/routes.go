// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// maxReport bounds a cluster's report, in bytes: about 300 bytes for each of its instances.
const maxReport = 32 << 20

// route is one path of the API and who may use it. There is no other way to register one, so none is forgotten.
type route struct {
	method, path string
	access       access
	handler      echo.HandlerFunc
}

// table lists all routes. Names of parameters matter: see [Root.authorize].
func (r *Root) table() []route {
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	return []route{
		{post, "/api/auth/login", anyoneSecure, r.login},
		{post, "/api/auth/refresh", anyoneSecure, r.refresh},
		{post, "/api/auth/logout", user, r.logout},
		{post, "/api/auth/register", organizationAdmin, r.register},
		{get, "/api/permission/:name", user, r.permission},
		{get, "/api/user/:name", user, r.getUser},
		{post, "/api/user/:name", user, r.changePassword},
		{put, "/api/user/:name", organizationAdmin, r.updateUser},
		{del, "/api/user/:name", organizationAdmin, r.deleteUser},
		{post, "/api/user", anyoneSecure, noMail},
		{put, "/api/user", anyoneSecure, noMail},
		{get, "/api/users", organizationAdmin, r.listUsers},
		{get, "/api/users/:organization", organizationAdmin, r.listUsers},
		{get, "/api/organization", admin, r.listOrganizations},
		{post, "/api/organization", admin, r.createOrganization},
		{put, "/api/organization/:organization", admin, r.updateOrganization},
		{del, "/api/organization/:organization", admin, r.deleteOrganization},

		{post, "/api/application", user, r.createApplications},
		{get, "/api/application/:application", user, r.getApplication},
		{put, "/api/application/:application", user, r.updateApplication},
		{del, "/api/application/:application", user, r.deleteApplication},
		{get, "/api/applications", user, r.listApplications},
		{get, "/api/applications/:name", user, r.listApplicationsOf},

		{post, "/api/service", user, r.createServices},
		{get, "/api/service/:service", user, r.getService},
		{put, "/api/service/:service", user, notImplemented},
		{del, "/api/service/:service", user, r.deleteService},
		{get, "/api/services", user, r.listServices},
		{get, "/api/services/:application", user, r.listServicesOf},
		{post, "/api/service/:service/instance", user, r.createInstance},
		{del, "/api/service/:service/instance/:number", user, r.deleteInstances},
		{get, "/api/pubnet/service/netinfo/:service", user, r.netInfo},
		{get, "/api/pubnet/service/netinfo/ip/:address", user, r.netInfoOfAddress},
		{get, "/api/pubnet/service/netinfo/available-ip", user, r.availableAddresses},
		{get, "/api/pubnet/service/netinfo/available-ip/:count", user, r.availableAddresses},

		{get, "/api/clusters", user, r.listClustersLegacy},
		{get, "/api/clusters/active", user, r.listClustersLegacy},
		{get, "/api/v1/clusters", user, r.listClusters},
		{del, "/api/v1/clusters/:id", admin, r.deleteCluster},
		{get, "/api/v1/instances", user, r.listInstances},

		{post, httpapi.Route(wire.PathClusterJoin), anyoneSecure, r.joinCluster},
		{get, httpapi.Route(wire.PathClusterDesired), cluster, r.desired},
		{post, httpapi.Route(wire.PathClusterReport), cluster, r.report},
	}
}

func (r *Root) routes(registry *prometheus.Registry) *echo.Echo {
	e := httpapi.New(r.log,
		httpapi.Ready(r.ready),
		httpapi.Registry(registry),
		httpapi.LargeBody(httpapi.Route(wire.PathClusterReport), maxReport),
		httpapi.TimeLimit(httpapi.Route(wire.PathClusterDesired), wire.MaxWait+httpapi.RequestTimeout),
		httpapi.MetricsAuth(func(c echo.Context) bool {
			p, err := r.authenticate(c)
			return err == nil && p.IsAdmin()
		}))
	for _, rt := range r.table() {
		chain := []echo.MiddlewareFunc{r.authorize(rt.access)}
		if rt.access == anyoneSecure || rt.access == cluster {
			chain = append([]echo.MiddlewareFunc{httpapi.RefusePlain}, chain...)
		}
		e.Add(rt.method, rt.path, rt.handler, chain...)
	}
	return e
}

func notImplemented(c echo.Context) error {
	return httpapi.NewProblem(http.StatusNotImplemented, "not_implemented",
		"changing what is registered is not possible yet: delete it and create it anew")
}
