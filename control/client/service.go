// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Service is a service, or job, as root shows it.
type Service struct {
	ID             ID     `json:"microserviceID"`
	ApplicationID  ID     `json:"applicationID"`
	JobName        string `json:"job_name"`
	AppName        string `json:"app_name"`
	AppNS          string `json:"app_ns"`
	Name           string `json:"microservice_name"`
	Namespace      string `json:"microservice_namespace"`
	Virtualization string `json:"virtualization"`
	Image          string `json:"image"`
	MemoryMB       int    `json:"memory"`
	VCPUs          int    `json:"vcpus"`
	Port           string `json:"port"`
	// Revision is that of the descriptor. Replicas is how many instances root keeps; nil if it keeps none by itself.
	Revision int  `json:"revision"`
	Replicas *int `json:"replicas"`
	// Status is that of its instances taken together; StatusDetail says why in a person's words.
	Status       wire.State `json:"status"`
	StatusDetail string     `json:"status_detail"`
	// RoundRobin is the address that chooses an instance for each new flow.
	RoundRobin   string           `json:"RR_ip"`
	RoundRobinV6 string           `json:"RR_ip_v6"`
	Addresses    []ServiceAddress `json:"service_ip_list"`
	Instances    []Instance       `json:"instance_list"`
}

// ServiceAddress is an address of a service in both families and the policy that it stands for.
type ServiceAddress struct {
	Policy    string     `json:"IpType"`
	Address   netip.Addr `json:"Address"`
	AddressV6 netip.Addr `json:"Address_v6"`
}

// Instance is one instance of a service as root shows it.
type Instance struct {
	Number       int        `json:"instance_number"`
	Status       wire.State `json:"status"`
	StatusDetail string     `json:"status_detail"`
	// Since is when it entered the status.
	Since        time.Time `json:"since"`
	ClusterID    ID        `json:"cluster_id"`
	ClusterName  string    `json:"cluster_name"`
	InstanceIP   string    `json:"instance_ip"`
	InstanceIPv6 string    `json:"instance_ip_v6"`
	CPUPercent   float64   `json:"cpu_percent"`
	MemoryBytes  int64     `json:"memory_bytes"`
	Restarts     int       `json:"restarts"`
	// Ready is the verdict of its readiness probe; nil for one that has none, which is ready once it runs.
	Ready *bool `json:"ready"`
	// Deleting is true from the request to undeploy until the instance is gone, whatever its status.
	Deleting bool `json:"deleting"`
}

// Services lists the services of an application.
func (c *Client) Services(ctx context.Context, application ID) ([]Service, error) {
	return ask[[]Service](ctx, c, call{method: http.MethodGet, path: "/api/services/" + url.PathEscape(string(application))})
}

// AllServices lists the services that the user may see: for administrators everybody's, otherwise the user's own.
func (c *Client) AllServices(ctx context.Context) ([]Service, error) {
	return ask[[]Service](ctx, c, call{method: http.MethodGet, path: "/api/services/"})
}

// Service returns one service; status 404 if there is none.
func (c *Client) Service(ctx context.Context, id ID) (*Service, error) {
	return ask[*Service](ctx, c, call{method: http.MethodGet, path: servicePath(id)})
}

// RawService returns one service as the server writes it, for people to read.
func (c *Client) RawService(ctx context.Context, id ID) (json.RawMessage, error) {
	return ask[json.RawMessage](ctx, c, call{method: http.MethodGet, path: servicePath(id)})
}

// DeleteService undeploys and deletes a service.
func (c *Client) DeleteService(ctx context.Context, id ID) error {
	return c.do(ctx, call{method: http.MethodDelete, path: servicePath(id)})
}

// AddInstance asks for one more instance of a service. It exists from then on, although no cluster may have a place for it.
func (c *Client) AddInstance(ctx context.Context, service ID) error {
	return c.do(ctx, call{method: http.MethodPost, path: servicePath(service) + "/instance", creates: true})
}

// AllInstances is the number that stands for every instance in [Client.RemoveInstance].
const AllInstances = -1

// RemoveInstance undeploys one instance of a service, or all of them.
func (c *Client) RemoveInstance(ctx context.Context, service ID, number int) error {
	return c.do(ctx, call{method: http.MethodDelete, path: servicePath(service) + "/instance/" + strconv.Itoa(number)})
}

func servicePath(id ID) string { return "/api/service/" + url.PathEscape(string(id)) }
