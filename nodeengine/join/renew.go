// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of the pauses between attempts to renew, and how often, at least, it is looked whether a certificate is due: a machine that sleeps
// does not count the time.
const (
	firstRenewal = time.Second
	lastRenewal  = 10 * time.Minute
	renewCheck   = time.Hour
)

// Keeper keeps a worker's identity valid: it has the cluster renew certificates before they run out. What is made with its [Keeper.TLS]
// uses the newest.
type Keeper struct {
	o     Options
	proof *pki.Credentials

	mu sync.Mutex
	id Identity
}

// NewKeeper returns the keeper of a stored identity; Run does the work.
func NewKeeper(o Options, id *Identity) (*Keeper, error) {
	proof, err := pki.NewCredentials([]byte(id.Certificate), []byte(id.Key), []byte(id.CA))
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	return &Keeper{o: o, proof: proof, id: *id}, nil
}

// Credentials prove to the cluster who the worker is.
func (k *Keeper) Credentials() *pki.Credentials { return k.proof }

// Identity returns the identity as it is now.
func (k *Keeper) Identity() Identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.id
}

// Run renews until ctx ends. onRenewed is called, off no lock, after each new certificate.
func (k *Keeper) Run(ctx context.Context, onRenewed func(Identity)) {
	wait := firstRenewal
	for ctx.Err() == nil {
		pause := min(time.Until(k.dueAt()), renewCheck)
		if pause <= 0 {
			err := k.renew(ctx)
			if err == nil {
				wait = firstRenewal
				k.o.Log.Info("certificates renewed by the cluster", "valid_until", k.proof.Leaf().NotAfter)
				onRenewed(k.Identity())
				continue
			}
			pause = wait - rand.N(wait/4)
			wait = min(wait*2, lastRenewal)
			if ctx.Err() == nil {
				k.o.Log.Warn("certificates cannot be renewed yet; what runs goes on", "valid_until", k.proof.Leaf().NotAfter, "error", err, "retry_in", pause)
			}
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// dueAt is when the earlier of the two certificates is due.
func (k *Keeper) dueAt() time.Time {
	due := k.proof.RenewAt()
	if net, err := pki.ParseCert([]byte(k.Identity().NetCertificate)); err == nil && pki.RenewAt(net).Before(due) {
		due = pki.RenewAt(net)
	}
	return due
}

// renew gets and stores new certificates once. A certificate that has run out proves nothing any more: then a token has to.
func (k *Keeper) renew(ctx context.Context) error {
	now := k.Identity()
	if k.proof.Expired(time.Now()) {
		if k.o.TokenFile == "" {
			return fmt.Errorf("the certificate has run out and there is no --join-token-file: get a token for workers from the cluster, and start NodeEngine with it")
		}
		once, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		again := k.o
		again.worker = now.WorkerID
		id, err := Join(once, again)
		if err != nil {
			return fmt.Errorf("the certificate has run out, and the token gets no other one: put a new token into %s: %w", k.o.TokenFile, err)
		}
		return k.take(*id)
	}
	keys := keys{Key: now.Key, NetKey: now.NetKey}
	body, err := renewRequest(keys)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{TLSClientConfig: k.proof.TLS(), DisableKeepAlives: true}}
	resp, err := ask(ctx, client, "https://"+now.Cluster+wire.PathWorkerRenew, "", body)
	if err != nil {
		return err
	}
	if resp.ID != now.WorkerID {
		return fmt.Errorf("the cluster's certificate is for worker %q", resp.ID)
	}
	now.Certificate, now.NetCertificate = resp.Certificate, resp.NetCertificate
	if _, err := pki.ClientTLS([]byte(now.NetCertificate), []byte(now.NetKey), []byte(now.CA)); err != nil {
		return fmt.Errorf("certificate issued for NetManager: %w", err)
	}
	if _, err := now.TLS(); err != nil {
		return fmt.Errorf("certificate issued for NodeEngine: %w", err)
	}
	if err := statefile.Write(identityPath(k.o.StateDir), now); err != nil {
		return err
	}
	return k.take(now)
}

// take goes on with an identity that is stored.
func (k *Keeper) take(id Identity) error {
	if err := k.proof.Replace([]byte(id.Certificate), []byte(id.Key)); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.id = id
	return nil
}

func renewRequest(k keys) ([]byte, error) {
	csr, err := pki.NewCSR([]byte(k.Key))
	if err != nil {
		return nil, err
	}
	netCSR, err := pki.NewCSR([]byte(k.NetKey))
	if err != nil {
		return nil, err
	}
	return json.Marshal(wire.WorkerRenewRequest{Format: wire.Format, CSR: string(csr), NetCSR: string(netCSR)})
}
