// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/netip"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi/openapi"
)

// The shapes of answers that are put together, not marshalled from a type: for the description alone, against which tests hold them.

type objectID struct {
	ID string `json:"$oid"`
}

// serviceShape is what queryServices returns: the microservice as it was posted, and beside it what root knows.
type serviceShape struct {
	sla.Microservice
	ID            objectID       `json:"_id"`
	ServiceID     string         `json:"microserviceID"`
	ApplicationID string         `json:"applicationID"`
	JobName       string         `json:"job_name"`
	AppName       string         `json:"app_name"`
	AppNamespace  string         `json:"app_ns"`
	Name          string         `json:"service_name"`
	Namespace     string         `json:"service_ns"`
	Image         string         `json:"image"`
	NextNumber    int            `json:"next_instance_progressive_number"`
	Instances     []instanceJSON `json:"instance_list"`
	Addresses     []serviceIP    `json:"service_ip_list"`
	RRIP          netip.Addr     `json:"RR_ip"`
	RRIPv6        netip.Addr     `json:"RR_ip_v6"`
	Status        wire.State     `json:"status"`
	StatusDetail  string         `json:"status_detail"`
	Revision      int            `json:"revision"`
}

// netInfoShape is what showNetInfo answers.
type netInfoShape struct {
	ID            objectID       `json:"_id"`
	ServiceID     string         `json:"service_job_id"`
	ApplicationID string         `json:"applicationID"`
	AppName       string         `json:"app_name"`
	AppNamespace  string         `json:"app_ns"`
	Name          string         `json:"service_name"`
	Namespace     string         `json:"service_ns"`
	JobName       string         `json:"job_name"`
	Addresses     []serviceIP    `json:"service_ip_list"`
	Instances     []instanceJSON `json:"instance_list"`
}

// clusterShape is what legacyCluster returns.
type clusterShape struct {
	ID                objectID                       `json:"_id"`
	Name              string                         `json:"cluster_name"`
	CandidateName     string                         `json:"candidate_name"`
	Location          string                         `json:"cluster_location"`
	CandidateLocation string                         `json:"candidate_location"`
	Active            bool                           `json:"active"`
	ActiveNodes       int                            `json:"active_nodes"`
	LastModified      float64                        `json:"last_modified_timestamp"`
	CPUPercentMean    float64                        `json:"aggregated_cpu_percent"`
	CPUPercent        float64                        `json:"cpu_percent"`
	MemoryPercent     float64                        `json:"memory_percent"`
	MemoryMB          int                            `json:"memory_in_mb"`
	Memory            int                            `json:"memory"`
	Cores             int                            `json:"total_cpu_cores"`
	VCPUs             int                            `json:"vcpus"`
	GPUs              int                            `json:"total_gpu_cores"`
	VGPUs             int                            `json:"vgpus"`
	Virtualization    []string                       `json:"virtualization"`
	Addons            []string                       `json:"supported_addons"`
	VolumeDrivers     []string                       `json:"csi_drivers"`
	ByArchitecture    map[string]wire.AggregateGroup `json:"aggregation_per_architecture"`
}

type familyQuery struct {
	Family string `query:"v" enum:"4,6" description:"the only family to show; both if left out"`
}

type forceQuery struct {
	Force bool `query:"force" description:"it will never come back: its instances go to other clusters"`
}

type instancesQuery struct {
	Service string `query:"service" description:"the id of the only service to show"`
	servicesQuery
}

type waitQuery struct {
	Epoch    uint64 `query:"epoch" description:"of the state that the asking one has"`
	Revision uint64 `query:"since" description:"of the state that the asking one has"`
	Wait     string `query:"wait" description:"how long to wait for another, such as 30s"`
}

// describe returns the description of the API, made of the routes.
func (r *Root) describe(version string) ([]byte, error) {
	api := openapi.API{
		Title: "Oakestra root orchestrator", Version: version,
		Description: "Applications, their services and instances, and the clusters that run them. A trailing slash of a path is ignored.",
		Schemes: []openapi.Scheme{
			{Name: "user", Bearer: true, Description: "the token of a login (POST /api/auth/login)"},
			{Name: "cluster", Description: "the certificate of a cluster that has joined"},
		},
		Problem: httpapi.Problem{},
		As:      [][2]any{{oid(""), objectID{}}},
	}
	notes := map[access][2]string{
		anyoneSecure:      {"", "For everybody, over TLS unless plain is allowed."},
		user:              {"user", "For whoever is logged in, within what is his."},
		organizationAdmin: {"user", "For administrators, and for those of an organization within it."},
		admin:             {"user", "For administrators."},
		provider:          {"user", "For application providers and administrators, within what is theirs."},
		streamEnd:         {"cluster", "For the cluster that was asked to connect."},
		cluster:           {"cluster", "For the cluster itself."},
	}
	for _, rt := range r.table() {
		note := notes[rt.access]
		api.Operations = append(api.Operations, openapi.Operation{
			Method: rt.method, Path: rt.path, Tag: tagOf(rt.path), Summary: rt.about.summary, Access: note[0], Note: note[1],
			Query: rt.about.query, Body: rt.about.body, Answer: rt.about.answer,
		})
	}
	return api.Document()
}

// tagOf groups routes by the first word of their path that tells one from another.
func tagOf(path string) string {
	for _, word := range strings.Split(path, "/") {
		switch word {
		case "", "api", "v1":
			continue
		case "permission", "users":
			return "user"
		case "applications", "services", "clusters", "instances", "tokens", "workers":
			return strings.TrimSuffix(word, "s")
		}
		return word
	}
	return path
}
