// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/uplink"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// renewCheck is how often, at least, it is looked whether a certificate is due: a machine that sleeps does not count the time.
const renewCheck = time.Hour

// renewWorker gives a worker that shows its certificate new ones for the same keys.
func (c *Cluster) renewWorker(brokers []string) echo.HandlerFunc {
	return func(ec echo.Context) error {
		id, ok := identity.PeerID(ec.Request())
		if !ok {
			return httpapi.NewProblem(http.StatusUnauthorized, "no_certificate", "this needs the worker's certificate over TLS")
		}
		var req wire.WorkerRenewRequest
		if err := httpapi.DecodeLoose(ec, &req); err != nil {
			return err
		}
		asked := wire.WorkerJoinRequest{Format: req.Format, CSR: req.CSR, NetCSR: req.NetCSR, Name: id}
		key, err := checkJoin(&asked)
		if err != nil {
			return err
		}
		if err := c.holdsKey(ec.Request().Context(), id, key); err != nil {
			return err
		}
		resp, err := c.certify(id, &asked)
		if err != nil {
			return httpapi.NewProblem(http.StatusUnprocessableEntity, "bad_csr", "%v", err)
		}
		resp.Brokers = brokers
		c.log.Info("worker's certificates renewed", "worker", id)
		return ec.JSON(http.StatusOK, resp)
	}
}

// holdsKey refuses a worker that is not known any more, and a request for another key than it has joined with.
func (c *Cluster) holdsKey(ctx context.Context, id string, keyHash []byte) error {
	known := ""
	err := store.InTx(ctx, c.pool, func(tx pgx.Tx) (err error) {
		known, _, err = records.WorkerByKey(ctx, tx, keyHash)
		return err
	})
	if err != nil {
		return err
	}
	if known != id {
		return httpapi.NewProblem(http.StatusForbidden, "wrong_key",
			"the worker of this certificate has not joined with the key that a certificate is asked for: join with a new token")
	}
	return nil
}

// runRenewal has root renew this cluster's certificate in time, until ctx ends.
func (c *Cluster) runRenewal(ctx context.Context, client *uplink.Client) {
	retry := uplink.Backoff{Least: time.Second, Most: 10 * time.Minute}
	for ctx.Err() == nil {
		proof := client.Credentials()
		if due := time.Until(proof.RenewAt()); due > 0 {
			retry.Reset()
			sleep(ctx, min(due, renewCheck))
			continue
		}
		err := c.renewFromRoot(ctx, client)
		if err == nil {
			c.log.Info("certificate renewed by root", "valid_until", proof.Leaf().NotAfter)
			continue
		}
		if ctx.Err() == nil {
			c.log.Warn("cannot renew this cluster's certificate yet", "valid_until", proof.Leaf().NotAfter, "error", err)
		}
		if !retry.Wait(ctx) {
			return
		}
	}
}

// renewFromRoot gets and stores one new certificate. One that has run out proves nothing any more: then a token has to.
func (c *Cluster) renewFromRoot(ctx context.Context, client *uplink.Client) error {
	c.mu.Lock()
	link := c.link
	c.mu.Unlock()
	csr, err := pki.NewCSR([]byte(link.KeyPEM))
	if err != nil {
		return err
	}
	var cert string
	if client.Credentials().Expired(time.Now()) {
		cert, err = c.rejoin(ctx, link, csr)
	} else {
		cert, err = client.Renew(ctx, string(csr))
	}
	if err != nil {
		return err
	}
	err = store.InTx(ctx, c.pool, func(tx pgx.Tx) error {
		return records.StoreIdentity(ctx, tx, link.ClusterID, cert, link.CAPEM)
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.link.CertPEM = cert
	c.mu.Unlock()
	return client.Credentials().Replace([]byte(cert), []byte(link.KeyPEM))
}

func (c *Cluster) rejoin(ctx context.Context, link records.Link, csr []byte) (string, error) {
	token, err := os.ReadFile(c.opts.JoinTokenFile)
	if err != nil {
		return "", fmt.Errorf("the certificate has run out, and there is no token to get another one: have root make one for clusters, and write it to the file of --join-token-file: %w", err)
	}
	answer, err := uplink.Join(ctx, c.opts.RootURLs, string(bytes.TrimSpace(token)), wire.ClusterJoinRequest{Format: wire.Format, CSR: string(csr),
		Name: c.opts.Name, Location: c.opts.Location})
	if err != nil {
		return "", fmt.Errorf("the certificate has run out, and the token gets no other one: write a new one to the file of --join-token-file: %w", err)
	}
	if answer.ID != link.ClusterID {
		return "", fmt.Errorf("root takes this cluster for another one, %s: start it under the name that it had", answer.ID)
	}
	return answer.Certificate, nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// keyHashOf is what workers are known by: the SHA-256 of their public key.
func keyHashOf(publicKey []byte) []byte {
	sum := sha256.Sum256(publicKey)
	return sum[:]
}
