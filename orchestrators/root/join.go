// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/joining"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// maxLocation bounds a cluster's location, in bytes.
const maxLocation = 256

// joinCluster takes a cluster in: it gives it an id, a certificate and its first block of worker subnets. One that asks again
// with the same name and key, because the answer was lost, gets the same id.
func (r *Root) joinCluster(c echo.Context) error {
	ctx := c.Request().Context()
	token, err := bearer(c)
	if err != nil {
		return err
	}
	var in wire.ClusterJoinRequest
	if err := httpapi.DecodeLoose(c, &in); err != nil {
		return err
	}
	csr, err := checkJoin(&in)
	if err != nil {
		return err
	}
	keyHash := pki.CertHash(csr.RawSubjectPublicKeyInfo)
	var id string
	err = r.placing(ctx, func(tx pgx.Tx) (err error) {
		id, err = r.admit(ctx, tx, token, &in, keyHash)
		return err
	})
	if errors.Is(err, identity.ErrToken) {
		return httpapi.NewProblem(http.StatusUnauthorized, "token_refused", "%v", err)
	}
	if err != nil {
		return addressProblem(err, "")
	}
	cert, err := r.ca.SignClient([]byte(in.CSR), id, "", identity.ClientTTL)
	if err != nil {
		return err
	}
	r.log.Info("cluster joined", "cluster", id, "name", in.Name, "peer", c.RealIP())
	return c.JSON(http.StatusOK, wire.JoinResponse{Format: wire.Format, ID: id, Certificate: string(cert), CA: string(r.ca.CertPEM())})
}

// inspectToken tells whether a cluster could join with a token now, and spends nothing of it.
func (r *Root) inspectToken(c echo.Context) error {
	token, err := bearer(c)
	if err != nil {
		return err
	}
	err = r.ca.InspectToken(c.Request().Context(), token, pki.RoleCluster)
	if errors.Is(err, identity.ErrToken) {
		return httpapi.NewProblem(http.StatusUnauthorized, "token_refused", "%v", err)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, message("a cluster can join with this token"))
}

// renewCluster gives a cluster a new certificate for the key that it has joined with.
func (r *Root) renewCluster(c echo.Context) error {
	ctx := c.Request().Context()
	var in wire.ClusterRenewRequest
	if err := httpapi.DecodeLoose(c, &in); err != nil {
		return err
	}
	if in.Format > wire.Format {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_join", "is %d, this root reads up to %d: upgrade root first", in.Format, wire.Format).At("$.format")
	}
	csr, err := pki.ParseCSR([]byte(in.CSR))
	if err != nil {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_join", "%v", err).At("$.csr")
	}
	id, keyHash := c.Param("id"), ""
	err = r.pool.QueryRow(ctx, `SELECT key_hash FROM cluster WHERE id = $1`, id).Scan(&keyHash)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return httpapi.NewProblem(http.StatusNotFound, "unknown_cluster", "this root does not know the cluster %s: join again", id)
	case err != nil:
		return fmt.Errorf("look up cluster %s: %w", id, err)
	case keyHash != pki.CertHash(csr.RawSubjectPublicKeyInfo):
		return httpapi.NewProblem(http.StatusForbidden, "wrong_key", "the cluster has joined with another key than a certificate is asked for")
	}
	cert, err := r.ca.SignClient([]byte(in.CSR), id, "", identity.ClientTTL)
	if err != nil {
		return err
	}
	r.log.Info("cluster's certificate renewed", "cluster", id)
	return c.JSON(http.StatusOK, wire.JoinResponse{Format: wire.Format, ID: id, Certificate: string(cert), CA: string(r.ca.CertPEM())})
}

func checkJoin(in *wire.ClusterJoinRequest) (*x509.CertificateRequest, error) {
	refuse := func(path, format string, args ...any) error {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "invalid_join", format, args...).At(path)
	}
	switch {
	case in.Format > wire.Format:
		return nil, refuse("$.format", "is %d, this root reads up to %d: upgrade root first", in.Format, wire.Format)
	case !joining.ClusterName(in.Name):
		return nil, refuse("$.name", "%s", joining.ClusterNames)
	case len(in.Location) > maxLocation:
		return nil, refuse("$.location", "is longer than %d bytes", maxLocation)
	}
	csr, err := pki.ParseCSR([]byte(in.CSR))
	if err != nil {
		return nil, refuse("$.csr", "%v", err)
	}
	return csr, nil
}

func (r *Root) admit(ctx context.Context, tx pgx.Tx, token string, in *wire.ClusterJoinRequest, keyHash string) (id string, err error) {
	var knownHash string
	err = tx.QueryRow(ctx, `SELECT id, key_hash FROM cluster WHERE lower(name) = lower($1)`, in.Name).Scan(&id, &knownHash)
	switch {
	case err == nil && knownHash == keyHash:
		// The request is signed with the key that the cluster has joined with: nobody else is asking.
		return id, r.ca.CheckTokenIn(ctx, tx, token, pki.RoleCluster)
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return "", fmt.Errorf("look up cluster %s: %w", in.Name, err)
	}
	taken := err == nil
	if err := r.ca.RedeemTokenIn(ctx, tx, token, pki.RoleCluster); err != nil {
		return "", err
	}
	if taken {
		return "", conflict("cluster_exists", "a cluster named %s has joined with another key: choose another name, or remove the old one "+
			"(DELETE /api/v1/clusters/%s)", in.Name, id)
	}
	id = pki.NewID()
	_, err = tx.Exec(ctx, `INSERT INTO cluster (id, name, location, key_hash) VALUES ($1, $2, $3, $4)`, id, in.Name, in.Location, keyHash)
	if store.IsUniqueViolation(err, "cluster_name") {
		return "", conflict("cluster_exists", "a cluster named %s has just joined: choose another name", in.Name)
	}
	if err != nil {
		return "", fmt.Errorf("store cluster %s: %w", in.Name, err)
	}
	// One that was deleted and is back has workers in the subnets that it had.
	if n, err := addresses.RestoreBlocks(ctx, tx, id, keyHash, 1); err != nil || n > 0 {
		return id, err
	}
	return id, addresses.LeaseBlocks(ctx, tx, r.ranges, id, 1, 1)
}
