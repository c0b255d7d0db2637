// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi/openapi"
)

// maxReport bounds a cluster's report, in bytes: about 300 bytes for each of its instances.
const maxReport = 32 << 20

// route is one path of the API, who may use it, and how it is described. There is no other way to register one, so none is forgotten.
type route struct {
	method, path string
	access       access
	handler      echo.HandlerFunc
	about        about
}

// about describes a route: what it does, and values of the types that it takes and answers with; nil where there is nothing.
type about struct {
	summary             string
	body, answer, query any
}

// table lists all routes. Names of parameters matter: see [Root.authorize].
func (r *Root) table() []route {
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	return append(r.streamRoutes(), []route{
		{post, "/api/auth/login", anyoneSecure, r.login, about{summary: "Log in", body: loginBody{}, answer: tokensJSON{}}},
		{post, "/api/auth/refresh", anyoneSecure, r.refresh, about{summary: "Get a new token for a refresh token, sent as the bearer token", answer: tokensJSON{}}},
		{post, "/api/auth/logout", user, r.logout, about{summary: "End this login", answer: messageJSON{}}},
		{post, "/api/auth/register", organizationAdmin, r.idempotent(r.register), about{summary: "Add a user", body: registerBody{}, answer: userJSON{}}},
		{get, "/api/permission/:name", user, r.permission, about{summary: "Show a user's roles", answer: rolesJSON{}}},
		{get, "/api/user/:name", user, r.getUser, about{summary: "Show a user", answer: userJSON{}}},
		{post, "/api/user/:name", user, r.changePassword, about{summary: "Change your own password, which ends all logins", body: passwordBody{}, answer: struct{}{}}},
		{put, "/api/user/:name", organizationAdmin, r.updateUser, about{summary: "Change a user", body: userChange{}, answer: userJSON{}}},
		{del, "/api/user/:name", organizationAdmin, r.deleteUser, about{summary: "Delete a user", answer: messageJSON{}}},
		{post, "/api/user", anyoneSecure, r.askReset, about{summary: "Ask for a mail with a link to set a new password, if mails are sent", body: resetBody{}, answer: messageJSON{}}},
		{put, "/api/user", anyoneSecure, r.finishReset, about{summary: "Set a new password by such a link, once", body: newPasswordBody{}, answer: messageJSON{}}},
		{get, "/api/users", organizationAdmin, r.listUsers, about{summary: "List users", answer: []userJSON{}, query: httpapi.PageQuery{}}},
		{get, "/api/users/:organization", organizationAdmin, r.listUsers, about{summary: "List the users of an organization", answer: []userJSON{}, query: httpapi.PageQuery{}}},
		{get, "/api/organization", admin, r.listOrganizations, about{summary: "List organizations", answer: []organizationJSON{}, query: httpapi.PageQuery{}}},
		{post, "/api/organization", admin, r.idempotent(r.createOrganization), about{summary: "Add an organization", body: organizationBody{}, answer: organizationJSON{}}},
		{get, "/api/organization/:organization", admin, r.getOrganization, about{summary: "Show an organization", answer: organizationJSON{}}},
		{put, "/api/organization/:organization", admin, r.updateOrganization, about{summary: "Change an organization's name, or all its members", body: organizationBody{}, answer: organizationJSON{}}},
		{del, "/api/organization/:organization", admin, r.deleteOrganization, about{summary: "Delete an organization that has no users and applications of its own", answer: messageJSON{}}},

		{post, "/api/application", user, r.idempotent(r.createApplications), about{summary: "Register the applications of a descriptor with their services; nothing is deployed by it", body: sla.Descriptor{}, answer: []applicationJSON{}}},
		{get, "/api/application/:application", user, r.getApplication, about{summary: "Show an application", answer: applicationJSON{}}},
		{put, "/api/application/:application", user, r.updateApplication, about{summary: "Change an application", body: applicationChange{}, answer: messageJSON{}}},
		{del, "/api/application/:application", user, r.deleteApplication, about{summary: "Undeploy and delete an application", answer: messageJSON{}}},
		{get, "/api/applications", user, r.listApplications, about{summary: "List all applications that you may see", answer: []applicationJSON{}, query: httpapi.PageQuery{}}},
		{get, "/api/applications/:name", user, r.listApplicationsOf, about{summary: "List a user's applications", answer: []applicationJSON{}, query: httpapi.PageQuery{}}},

		{post, "/api/service", user, r.idempotent(r.createServices), about{summary: "Add the services of a descriptor to the application whose applicationID it names", body: sla.Descriptor{}, answer: createdServices{}}},
		{get, "/api/service/:service", user, r.getService, about{summary: "Show a service, by id or job name, with its addresses and instances", answer: serviceShape{}}},
		{put, "/api/service/:service", user, r.updateService, about{summary: "Change a service's descriptor; its instances change over as its update strategy says", body: sla.Microservice{}, answer: updatedService{}}},
		{get, "/api/v1/service/:service/revisions", user, r.listRevisions, about{summary: "List the descriptors that a service has had", answer: []revisionJSON{}}},
		{get, "/api/v1/service/:service/rollout", user, r.getRollout, about{summary: "Tell how far a service's instances are on the way to its present descriptor", answer: rolloutJSON{}}},
		{post, "/api/v1/service/:service/rollback", user, r.rollbackService, about{summary: "Go back to an earlier descriptor of a service", body: rollbackBody{}, answer: updatedService{}}},
		{put, "/api/v1/service/:service/scale", user, r.scaleService, about{summary: "Set how many instances are kept of a service", body: scaleBody{}, answer: scaledJSON{}}},
		{post, "/api/v1/service/:service/scale", user, r.scaleService, about{summary: "Set how many instances are kept of a service", body: scaleBody{}, answer: scaledJSON{}}},
		{del, "/api/service/:service", user, r.deleteService, about{summary: "Undeploy and delete a service", answer: messageJSON{}}},
		{get, "/api/services", user, r.listServices, about{summary: "List all services that you may see", answer: []serviceShape{}, query: servicesQuery{}}},
		{get, "/api/services/:application", user, r.listServicesOf, about{summary: "List the services of an application", answer: []serviceShape{}, query: servicesQuery{}}},
		{post, "/api/service/:service/instance", user, r.idempotent(r.createInstance), about{summary: "Deploy one more instance of a service", answer: createdInstance{}}},
		{del, "/api/service/:service/instance/:number", user, r.deleteInstances, about{summary: "Undeploy an instance, or all with the number -1", answer: messageJSON{}}},
		{get, "/api/pubnet/service/netinfo/:service", user, r.netInfo, about{summary: "Show the addresses of a service and its instances", answer: netInfoShape{}}},
		{get, "/api/pubnet/service/netinfo/ip/:address", user, r.netInfoOfAddress, about{summary: "Show the same of the service that an address belongs to", answer: netInfoShape{}}},
		{get, "/api/pubnet/service/netinfo/available-ip", user, r.availableAddresses, about{summary: "Show a free service address of each policy", answer: offeredAddresses{}, query: familyQuery{}}},
		{get, "/api/pubnet/service/netinfo/available-ip/:count", user, r.availableAddresses, about{summary: "Show free service addresses of each policy", answer: offeredAddresses{}, query: familyQuery{}}},

		{get, "/api/clusters", user, r.listClustersLegacy, about{summary: "List clusters, in the form of the original", answer: []clusterShape{}, query: httpapi.PageQuery{}}},
		{get, "/api/clusters/active", user, r.listClustersLegacy, about{summary: "List clusters that report, in the form of the original", answer: []clusterShape{}, query: httpapi.PageQuery{}}},
		{get, "/api/v1/clusters", user, r.listClusters, about{summary: "List clusters", answer: []clusterJSON{}, query: httpapi.PageQuery{}}},
		{get, "/api/v1/clusters/:id/workers", admin, r.listWorkers, about{summary: "List a cluster's workers, as far as it tells of them", answer: []workerJSON{}, query: httpapi.PageQuery{}}},
		{get, "/api/v1/workers", admin, r.listAllWorkers, about{summary: "List the workers of all clusters, as far as they tell of them", answer: []workerJSON{}, query: httpapi.PageQuery{}}},
		{get, "/api/v1/workers/:worker", admin, r.getWorker, about{summary: "Show a worker", answer: workerJSON{}}},
		{put, "/api/v1/workers/:worker/mode", admin, r.setMode, about{summary: "Open, cordon or drain a worker", body: modeBody{}, answer: workerJSON{}}},
		{del, "/api/v1/clusters/:id", admin, r.deleteCluster, about{summary: "Forget a cluster", answer: messageJSON{}, query: forceQuery{}}},
		{get, "/api/v1/service/:service/events", user, r.listEvents, about{summary: "Tell what became of a service's instances, and why", answer: []eventJSON{}, query: eventsQuery{}}},
		{get, "/api/v1/service/:service/instance/:number/explanation", user, r.explain, about{summary: "Tell why an instance is where it is, or has no place", answer: explanationJSON{}}},
		{get, "/api/v1/instances", user, r.listInstances, about{summary: "List instances", answer: []instanceJSON{}, query: instancesQuery{}}},

		{get, "/api/v1/secrets", user, r.listSecrets, about{summary: "List your organization's secrets that you may use, without their values", answer: []secretJSON{}, query: httpapi.PageQuery{}}},
		{post, "/api/v1/secrets", user, httpapi.RefusePlain(r.createSecret), about{summary: "Store a secret; its value is told to nobody but the workers that run what refers to it", body: secretBody{}, answer: secretJSON{}}},
		{get, "/api/v1/secrets/:secret", user, r.getSecret, about{summary: "Show a secret, by id or name, without its value", answer: secretJSON{}}},
		{put, "/api/v1/secrets/:secret", user, httpapi.RefusePlain(r.updateSecret), about{summary: "Store a new version of a secret, to which the services that use it change over", body: secretBody{}, answer: secretJSON{}}},
		{del, "/api/v1/secrets/:secret", user, r.deleteSecret, about{summary: "Forget a secret", answer: messageJSON{}, query: deleteSecretQuery{}}},

		{get, "/api/v1/tokens", admin, r.listTokens, about{summary: "List join tokens, without their values", answer: []tokenJSON{}, query: httpapi.PageQuery{}}},
		{post, "/api/v1/tokens", admin, httpapi.RefusePlain(r.createToken), about{summary: "Issue a token for clusters to join with; its value is not told again", body: tokenBody{}, answer: createdToken{}}},
		{del, "/api/v1/tokens/:token", admin, r.revokeToken, about{summary: "Revoke a join token", answer: messageJSON{}}},

		{get, pathUploads, user, r.listUploads, about{summary: "List the files that you have sent", answer: []uploadJSON{}}},
		{post, pathUploads, user, r.upload, about{summary: "Keep a file for a week", body: uploadForm{}, answer: uploadedJSON{}}},
		{get, pathUploads + "/:upload", user, r.getUpload, about{summary: "Read a file that you have sent, as text"}},

		{post, httpapi.Route(wire.PathClusterJoin), anyoneSecure, r.joinCluster, about{summary: "Take a cluster in, by a join token sent as the bearer token", body: wire.ClusterJoinRequest{}, answer: wire.JoinResponse{}}},
		{get, httpapi.Route(wire.PathClusterJoin), anyoneSecure, r.inspectToken, about{summary: "Tell whether a cluster could join with a token, sent as the bearer token, and spend nothing of it", answer: messageJSON{}}},
		{post, httpapi.Route(wire.PathClusterRenew), cluster, r.renewCluster, about{summary: "Give a cluster that shows its certificate a new one", body: wire.ClusterRenewRequest{}, answer: wire.JoinResponse{}}},
		{post, httpapi.Route(wire.PathClusterSecrets), cluster, r.clusterSecret, about{summary: "Tell a cluster a secret of an instance that it has", body: wire.SecretRequest{}, answer: wire.SecretResponse{}}},
		{get, httpapi.Route(wire.PathClusterDesired), cluster, r.desired, about{summary: "Wait for what a cluster is to run", answer: wire.ClusterDesired{}, query: waitQuery{}}},
		{post, httpapi.Route(wire.PathClusterReport), cluster, r.report, about{summary: "Report what a cluster runs, and has room for", body: wire.ClusterReport{}, answer: wire.ClusterReportAck{}}},
		{post, httpapi.Route(wire.PathClusterOverlay), cluster, r.reportOverlay, about{summary: "Report what workers of a cluster want of others, and what it offers them", body: wire.ClusterOverlay{}, answer: wire.ClusterOverlayAck{}}},
		{get, httpapi.Route(wire.PathClusterAbroad), cluster, r.abroad, about{summary: "Wait for what a cluster has to know of others", answer: wire.ClusterAbroad{}, query: abroadQuery{}}},
	}...)
}

func (r *Root) routes(registry *prometheus.Registry, document []byte) *echo.Echo {
	e := httpapi.New(r.log,
		httpapi.Ready(r.ready),
		httpapi.Registry(registry),
		httpapi.PeerLimit(r.perPeer),
		httpapi.LargeBody(pathUploads, maxUpload+maxUploadForm),
		httpapi.LargeBody(httpapi.Route(wire.PathClusterReport), maxReport),
		httpapi.LargeBody(httpapi.Route(wire.PathClusterOverlay), maxReport),
		httpapi.TimeLimit(httpapi.Route(wire.PathClusterDesired), wire.MaxWait+httpapi.RequestTimeout),
		httpapi.TimeLimit(httpapi.Route(wire.PathClusterAbroad), wire.MaxWait+httpapi.RequestTimeout),
		httpapi.TimeLimit(pathLogs, maxStream),
		httpapi.TimeLimit(pathExec, maxStream),
		httpapi.TimeLimit(pathEventStream, maxStream),
		httpapi.MetricsAuth(func(c echo.Context) bool {
			p, err := r.authenticate(c)
			return err == nil && p.IsAdmin()
		}))
	for _, rt := range r.table() {
		chain := []echo.MiddlewareFunc{r.authorize(rt.access)}
		if rt.access == anyoneSecure || rt.access == cluster || rt.access == streamEnd {
			chain = append([]echo.MiddlewareFunc{httpapi.RefusePlain}, chain...)
		}
		e.Add(rt.method, rt.path, rt.handler, chain...)
	}
	openapi.Serve(e, document)
	return e
}
