// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// serviceIP is an address of a service as clients know it.
type serviceIP struct {
	IPType    string     `json:"IpType"`
	Address   netip.Addr `json:"Address"`
	AddressV6 netip.Addr `json:"Address_v6"`
}

// ipTypes are the names of the policies in service_ip_list.
var ipTypes = [...]struct {
	policy wire.Policy
	name   string
}{{wire.PolicyRoundRobin, "RR"}, {wire.PolicyClosest, "Closest"}, {wire.PolicyUnderutilized, "Underutilized"}}

// instanceJSON is an instance as clients know it.
type instanceJSON struct {
	ServiceID       string     `json:"service_id"`
	Number          int        `json:"instance_number"`
	Status          wire.State `json:"status"`
	StatusDetail    string     `json:"status_detail"`
	Since           time.Time  `json:"since"`
	ClusterID       string     `json:"cluster_id"`
	ClusterName     string     `json:"cluster_name"`
	ClusterLocation string     `json:"cluster_location"`
	InstanceIP      netip.Addr `json:"instance_ip"`
	InstanceIPv6    netip.Addr `json:"instance_ip_v6"`
	Placement       int64      `json:"placement"`
	Move            int64      `json:"move"`
	CPUPercent      float64    `json:"cpu_percent"`
	MemoryBytes     int64      `json:"memory_bytes"`
	Restarts        int        `json:"restarts"`
	// Ready is the verdict of the instance's readiness probe, null for one that has none: it is ready once it runs.
	Ready *bool `json:"ready"`
	// Deleting is true from the request to undeploy until the cluster has confirmed it.
	Deleting bool `json:"deleting"`
	// LastModified is when its cluster last reported it, in seconds since 1970; 0 if never.
	LastModified float64 `json:"last_modified_timestamp"`
}

const selectInstances = `SELECT i.service_id, i.number, i.state,
	CASE WHEN i.deleted_at IS NULL THEN i.detail ELSE 'being undeployed: waiting for the cluster to confirm it (' || i.detail || ')' END,
	i.since, coalesce(c.id, ''), coalesce(c.name, ''), coalesce(c.location, ''),
	(i.spec->>'instance_ip')::inet, (i.spec->>'instance_ipv6')::inet, i.placement, i.move, i.cpu_percent, i.memory_bytes, i.restarts, i.ready,
	i.deleted_at IS NOT NULL, coalesce(extract(epoch FROM i.reported_at), 0)::float8
	FROM instance i LEFT JOIN cluster c ON c.id = i.cluster_id `

// queryInstances returns the instances of the services, by service and number.
func (r *Root) queryInstances(ctx context.Context, services []string) (map[string][]instanceJSON, error) {
	rows, err := r.pool.Query(ctx, selectInstances+`WHERE i.service_id = ANY($1) ORDER BY i.service_id, i.number`, services)
	if err != nil {
		return nil, fmt.Errorf("list instances: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[instanceJSON])
	if err != nil {
		return nil, fmt.Errorf("list instances: %w", err)
	}
	out := make(map[string][]instanceJSON, len(services))
	for _, i := range list {
		out[i.ServiceID] = append(out[i.ServiceID], i)
	}
	return out, nil
}

// queryAddresses returns the addresses of the services by policy.
func queryAddresses(ctx context.Context, q querier, services []string) (map[string][]wire.ServiceAddress, error) {
	rows, err := q.Query(ctx, `SELECT service_id, policy, address FROM address
		WHERE service_id = ANY($1) AND number IS NULL AND released_at IS NULL ORDER BY service_id, policy, family(address)`, services)
	if err != nil {
		return nil, fmt.Errorf("list service addresses: %w", err)
	}
	out := make(map[string][]wire.ServiceAddress, len(services))
	var id string
	var a wire.ServiceAddress
	_, err = pgx.ForEachRow(rows, []any{&id, &a.Policy, &a.Address}, func() error {
		out[id] = append(out[id], a)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list service addresses: %w", err)
	}
	return out, nil
}

// querier is what a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

type serviceRow struct {
	ID, Application, AppName, AppNS, Name, Namespace, JobName string
	NextNumber, Revision                                      int
	Replicas                                                  *int
	Descriptor                                                map[string]any
	Created                                                   time.Time
}

// queryServices returns rows of services, of a page one more than it holds; where is one of this package's own conditions, never a user's.
func (r *Root) queryServices(ctx context.Context, page httpapi.Page, where string, args ...any) ([]serviceRow, error) {
	paged, args := onPage(page, "s.created_at", "s.id", args)
	rows, err := r.pool.Query(ctx, `SELECT s.id, a.id, a.name, a.namespace, s.name, s.namespace, s.job_name, s.next_number, s.revision, s.replicas, s.descriptor,
		s.created_at
		FROM service s JOIN application a ON a.id = s.application_id
		WHERE s.deleted_at IS NULL AND `+where+paged, args...)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[serviceRow])
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	return list, nil
}

// showServices returns the documents of services. A document is the microservice as it was posted, and beside it what root knows.
func (r *Root) showServices(ctx context.Context, list []serviceRow) ([]map[string]any, error) {
	ids := make([]string, 0, len(list))
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	instances, err := r.queryInstances(ctx, ids)
	if err != nil {
		return nil, err
	}
	addrs, err := queryAddresses(ctx, r.pool, ids)
	if err != nil {
		return nil, err
	}
	out := make([]map[string]any, 0, len(list))
	for _, s := range list {
		out = append(out, showService(s, instances[s.ID], addrs[s.ID]))
	}
	return out, nil
}

func showService(s serviceRow, instances []instanceJSON, addrs []wire.ServiceAddress) map[string]any {
	doc := s.Descriptor
	if instances == nil {
		instances = []instanceJSON{}
	}
	ips := make([]serviceIP, 0, len(ipTypes))
	for _, t := range ipTypes {
		ip := serviceIP{IPType: t.name}
		for _, a := range addrs {
			switch {
			case a.Policy != t.policy:
			case a.Address.Is4():
				ip.Address = a.Address
			default:
				ip.AddressV6 = a.Address
			}
		}
		ips = append(ips, ip)
	}
	status, detail := overall(instances)
	for key, value := range map[string]any{
		"_id": oid(s.ID), "microserviceID": s.ID, "applicationID": s.Application, "job_name": s.JobName,
		"app_name": s.AppName, "app_ns": s.AppNS, "service_name": s.Name, "service_ns": s.Namespace,
		"image": doc["code"], "next_instance_progressive_number": s.NextNumber, "instance_list": instances,
		"service_ip_list": ips, "RR_ip": ips[0].Address, "RR_ip_v6": ips[0].AddressV6, "status": status, "status_detail": detail,
	} {
		doc[key] = value
	}
	doc["revision"] = s.Revision
	if delete(doc, "replicas"); s.Replicas != nil { // what is kept now, not what was asked for first
		doc["replicas"] = *s.Replicas
	}
	return doc
}

// overall sums up instances as one status: RUNNING or COMPLETED if all that stay are so, else that of the last one that is
// not RUNNING. It is empty without instances.
func overall(instances []instanceJSON) (status wire.State, detail string) {
	running, completed := 0, 0
	for _, i := range instances {
		switch {
		case i.Deleting:
		case i.Status == wire.StateRunning:
			running++
		case i.Status == wire.StateCompleted:
			completed++
		default:
			status, detail = i.Status, i.StatusDetail
		}
	}
	switch {
	case status != "":
		return status, detail
	case running > 0:
		return wire.StateRunning, ""
	case completed > 0:
		return wire.StateCompleted, ""
	}
	return "", "no instance was asked for"
}

func (r *Root) getService(c echo.Context) error {
	ctx := c.Request().Context()
	list, err := r.queryServices(ctx, httpapi.Page{}, `s.id = $1`, named(c, keyService))
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return notFound("service", c.Param("service"))
	}
	if err := httpapi.SetTag(c, serviceTag{list[0].ID, list[0].Revision, list[0].Replicas}); err != nil {
		return err
	}
	shown, err := r.showServices(ctx, list)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown[0])
}

// listServices lists all that the user may see.
func (r *Root) listServices(c echo.Context) error {
	return r.services(c, visible, scope(principal(c))...)
}

func (r *Root) listServicesOf(c echo.Context) error {
	return r.services(c, `a.id = $1`, named(c, keyApp))
}

func (r *Root) services(c echo.Context, where string, args ...any) error {
	ctx := c.Request().Context()
	page, err := timedPage(httpapi.PageOf(c, 2))
	if err != nil {
		return err
	}
	selected, args, err := labelled(c, args)
	if err != nil {
		return err
	}
	list, err := r.queryServices(ctx, page, where+selected, args...)
	if err != nil {
		return err
	}
	list = httpapi.Cut(c, page, list, func(s serviceRow) []string { return []string{s.Created.UTC().Format(sortableTime), s.ID} })
	shown, err := r.showServices(ctx, list)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

// maxListed bounds a list of instances that no page was asked of; it ends with a link to the next.
const maxListed = 10_000

// listInstances answers ?service=ID with the instances of that service, and without it with those of all the user's.
func (r *Root) listInstances(c echo.Context) error {
	page, number, err := numberedPage(httpapi.PageOf(c, 2))
	if err != nil {
		return err
	}
	if page.Limit == 0 {
		page.Limit = maxListed
	}
	after := ""
	if page.After != nil {
		after = page.After[0]
	}
	selected, args, err := labelled(c, scope(principal(c), c.QueryParam("service"), after, number, page.Limit+1))
	if err != nil {
		return err
	}
	rows, err := r.pool.Query(c.Request().Context(), selectInstances+`JOIN service s ON s.id = i.service_id JOIN application a ON a.id = s.application_id
		WHERE `+visible+` AND $5 IN ('', s.id) AND ($6 = '' OR (i.service_id, i.number) > ($6, $7))`+selected+` ORDER BY i.service_id, i.number LIMIT $8`,
		args...)
	if err != nil {
		return fmt.Errorf("list instances: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[instanceJSON])
	if err != nil {
		return fmt.Errorf("list instances: %w", err)
	}
	if list == nil {
		list = []instanceJSON{}
	}
	list = httpapi.Cut(c, page, list, func(i instanceJSON) []string { return []string{i.ServiceID, strconv.Itoa(i.Number)} })
	return c.JSON(http.StatusOK, list)
}
