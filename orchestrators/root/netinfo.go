// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
)

// netInfo tells the addresses of a service and its instances; it takes an id or a job name.
func (r *Root) netInfo(c echo.Context) error { return r.showNetInfo(c, named(c, keyService)) }

// netInfoOfAddress tells the same of the service that a service or instance address belongs to. For a dot an address may have a _.
func (r *Root) netInfoOfAddress(c echo.Context) error {
	text := c.Param("address")
	address, err := netip.ParseAddr(strings.ReplaceAll(text, "_", "."))
	if err != nil {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_address", "%q is no IPv4 or IPv6 address", text)
	}
	var id string
	err = r.pool.QueryRow(c.Request().Context(), `SELECT s.id FROM address d JOIN service s ON s.id = d.service_id JOIN application a ON a.id = s.application_id
		WHERE `+visible+` AND d.address = $5 AND d.released_at IS NULL AND s.deleted_at IS NULL`, scope(principal(c), address)...).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound("service with the address", address.String())
	}
	if err != nil {
		return fmt.Errorf("look up address %s: %w", address, err)
	}
	return r.showNetInfo(c, id)
}

func (r *Root) showNetInfo(c echo.Context, id string) error {
	rows, err := r.queryServices(c.Request().Context(), httpapi.Page{}, `s.id = $1`, id)
	if err != nil {
		return err
	}
	list, err := r.showServices(c.Request().Context(), rows)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return notFound("service", id)
	}
	s := list[0]
	out := map[string]any{"service_job_id": s["microserviceID"]}
	for _, key := range []string{"_id", "applicationID", "app_ns", "app_name", "service_ns", "service_name", "job_name", "service_ip_list", "instance_list"} {
		out[key] = s[key]
	}
	return c.JSON(http.StatusOK, out)
}

type offeredAddresses struct {
	List []serviceIP `json:"available_service_ips"`
}

// maxOffered bounds how many free addresses are told at once.
const maxOffered = 64

// availableAddresses tells addresses that a descriptor may ask for just now, as many of each policy as the path says, or one. Nothing is
// reserved. ?v=4 and ?v=6 leave the other family out.
func (r *Root) availableAddresses(c echo.Context) error {
	count := 1
	if text := c.Param("count"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxOffered {
			return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_count", "must be a number from 1 to %d", maxOffered)
		}
		count = n
	}
	family := c.QueryParam("v")
	if family != "" && family != "4" && family != "6" {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_query", "v must be 4 or 6")
	}
	list, err := r.freeAddresses(c.Request().Context(), principal(c).OrganizationID, count, family)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, offeredAddresses{list})
}

// freeAddresses takes addresses as for a service, and gives them back by not committing.
func (r *Root) freeAddresses(ctx context.Context, organization string, count int, family string) ([]serviceIP, error) {
	tx, err := r.pool.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for free addresses: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	owner := addresses.Owner{Organization: organization, ServiceID: "offered"}
	list := []serviceIP{}
	for _, t := range ipTypes {
		for range count {
			ip := serviceIP{IPType: t.name}
			if family != "6" {
				ip.Address, err = addresses.Take(ctx, tx, r.ranges, t.policy, false, owner)
			}
			if err == nil && family != "4" {
				ip.AddressV6, err = addresses.Take(ctx, tx, r.ranges, t.policy, true, owner)
			}
			if err != nil {
				return nil, addressProblem(err, "")
			}
			list = append(list, ip)
		}
	}
	return list, nil
}
