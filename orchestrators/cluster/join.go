// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
)

// orgWorker is the organisation in a worker's certificates.
const orgWorker = "worker"

// workerName is what a host may be called.
var workerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$`)

// joinWorker takes a worker in: token and certificate requests in, identity and subnet out. A worker that asks again with the same
// key, since the answer was lost, is the same worker.
func (c *Cluster) joinWorker(brokers []string) echo.HandlerFunc {
	return func(ec echo.Context) error {
		ctx := ec.Request().Context()
		var req wire.WorkerJoinRequest
		if err := httpapi.DecodeLoose(ec, &req); err != nil {
			return err
		}
		key, err := checkJoin(&req)
		if err != nil {
			return err
		}
		token, err := bearer(ec)
		if err != nil {
			return err
		}
		worker, fresh, err := c.takeInWhenThereIsRoom(ctx, token, key, &req)
		if err != nil {
			return joinProblem(err)
		}
		resp, err := c.certify(worker.ID, &req)
		if err != nil {
			return httpapi.NewProblem(http.StatusUnprocessableEntity, "bad_csr", "%v", err)
		}
		resp.Brokers = brokers
		c.welcome(worker, fresh)
		return ec.JSON(http.StatusOK, resp)
	}
}

func bearer(ec echo.Context) (string, error) {
	token, ok := strings.CutPrefix(ec.Request().Header.Get(echo.HeaderAuthorization), "Bearer ")
	if !ok {
		return "", httpapi.NewProblem(http.StatusUnauthorized, "token_missing", "a join token is needed as a bearer token")
	}
	return token, nil
}

// inspectToken tells whether a worker could join with a token now, and spends nothing of it.
func (c *Cluster) inspectToken(ec echo.Context) error {
	token, err := bearer(ec)
	if err != nil {
		return err
	}
	if err := c.ca.InspectToken(ec.Request().Context(), token, pki.RoleWorker); err != nil {
		return joinProblem(err)
	}
	return ec.NoContent(http.StatusNoContent)
}

// checkJoin checks the request and returns the hash of the worker's key.
func checkJoin(req *wire.WorkerJoinRequest) (keyHash []byte, err error) {
	if req.Format > wire.Format {
		return nil, httpapi.NewProblem(http.StatusUnprocessableEntity, "format_too_new",
			"message format %d is newer than this cluster reads (%d): upgrade the cluster first", req.Format, wire.Format).At("$.format")
	}
	if !workerName.MatchString(req.Name) {
		return nil, httpapi.NewProblem(http.StatusUnprocessableEntity, "bad_name", "a worker's name is a host name of letters, digits, dots and hyphens").At("$.name")
	}
	csr, err := pki.ParseCSR([]byte(req.CSR))
	if err != nil {
		return nil, httpapi.NewProblem(http.StatusUnprocessableEntity, "bad_csr", "%v", err).At("$.csr")
	}
	if _, err := pki.ParseCSR([]byte(req.NetCSR)); err != nil {
		return nil, httpapi.NewProblem(http.StatusUnprocessableEntity, "bad_csr", "%v", err).At("$.net_csr")
	}
	return keyHashOf(csr.RawSubjectPublicKeyInfo), nil
}

// takeIn stores the worker, its subnet and the use of the token in one transaction.
func (c *Cluster) takeIn(ctx context.Context, token string, keyHash []byte, req *wire.WorkerJoinRequest) (w records.Worker, fresh bool, err error) {
	c.mu.Lock()
	ranges := c.link.Ranges
	c.mu.Unlock()
	err = c.inEpoch(ctx, func(tx pgx.Tx) error {
		id, known, err := records.WorkerByKey(ctx, tx, keyHash)
		if err != nil {
			return err
		}
		if known {
			err = c.ca.CheckTokenIn(ctx, tx, token, pki.RoleWorker)
		} else {
			err = c.ca.RedeemTokenIn(ctx, tx, token, pki.RoleWorker)
		}
		if err != nil {
			return err
		}
		leased, err := records.LeasedAmong(ctx, tx, prefixes(req.Routes))
		if err != nil {
			return err
		}
		if err := checkRoutes(req.Routes, ranges, leased); err != nil {
			return err
		}
		if fresh = !known; fresh {
			w, err = records.AddWorker(ctx, tx, pki.NewID(), req.Name, keyHash)
			return err
		}
		if err := records.RenameWorker(ctx, tx, id, req.Name); err != nil {
			return err
		}
		all, err := records.Workers(ctx, tx)
		if i := slices.IndexFunc(all, func(w records.Worker) bool { return w.ID == id }); i >= 0 {
			w = all[i]
		}
		return err
	})
	return w, fresh, err
}

// certify signs both certificates of a worker.
func (c *Cluster) certify(id string, req *wire.WorkerJoinRequest) (resp wire.WorkerJoinResponse, err error) {
	cert, err := c.ca.SignClient([]byte(req.CSR), id, orgWorker, identity.ClientTTL)
	if err != nil {
		return resp, err
	}
	net, err := c.ca.SignClient([]byte(req.NetCSR), id, orgWorker, identity.ClientTTL)
	if err != nil {
		return resp, err
	}
	return wire.WorkerJoinResponse{NetCertificate: string(net),
		JoinResponse: wire.JoinResponse{Format: wire.Format, ID: id, Certificate: string(cert), CA: string(c.ca.CertPEM())}}, nil
}

// welcome makes a worker known and publishes its retained state, before it connects.
func (c *Cluster) welcome(w records.Worker, fresh bool) {
	c.log.Info("worker joined", "worker", w.ID, "name", w.Name, "subnets", w.Subnets, "again", !fresh)
	c.decide.Lock()
	defer c.decide.Unlock()
	c.mu.Lock()
	c.ledger.PutWorker(w.ID, w.Name, w.Subnets, fresh)
	if fresh {
		c.free = max(c.free-1, 0)
		c.demand.joined(time.Now())
	}
	c.mu.Unlock()
	c.plane.Do(func(core *overlay.Core) []overlay.Message { core.SetWorker(w.ID, w.Subnets); return nil })
	c.publishNode(w.ID)
	c.publishDesired(w.ID)
	wake(c.wakeReporter)
}

// prefixes are what can be read of a worker's routes.
func prefixes(routes []string) (all []netip.Prefix) {
	for _, text := range routes {
		if p, err := netip.ParsePrefix(text); err == nil {
			all = append(all, p.Masked())
		}
	}
	return all
}

// errOverlap says that a worker's own network cannot coexist with the overlay.
var errOverlap = errors.New("an address range of the overlay overlaps a route of the worker")

// checkRoutes refuses a worker one of whose routes overlaps a range of the overlay. Default routes overlap everything and do not
// count; nor do routes for exactly the overlay's own prefixes, which an earlier life of the worker left.
func checkRoutes(routes []string, r wire.Ranges, leased []netip.Prefix) error {
	ranges := []netip.Prefix{r.WorkersV4, r.ServicesV4, r.WorkersV6, r.ServicesV6}
	for _, text := range routes {
		route, err := netip.ParsePrefix(text)
		if err != nil || route.Bits() == 0 || slices.Contains(ranges, route.Masked()) || slices.Contains(leased, route.Masked()) {
			continue
		}
		for _, p := range ranges {
			if p.IsValid() && p.Overlaps(route) {
				return fmt.Errorf("%w: range %s of the overlay, route %s of the worker; give the worker another route, or the installation other ranges",
					errOverlap, p, route)
			}
		}
	}
	return nil
}

func joinProblem(err error) error {
	switch {
	case errors.Is(err, identity.ErrToken):
		return httpapi.NewProblem(http.StatusUnauthorized, "token_refused", "%v", err)
	case errors.Is(err, records.ErrNoSubnet):
		return httpapi.NewProblem(http.StatusServiceUnavailable, "no_subnet",
			"no worker subnet is free: root leases subnets to this cluster in blocks; check that it is connected (GET /api/cluster/status) and that its pool workers_v4 is not full")
	case errors.Is(err, errOverlap):
		return httpapi.NewProblem(http.StatusConflict, "route_overlap", "%v", err).At("$.routes")
	}
	return err
}
