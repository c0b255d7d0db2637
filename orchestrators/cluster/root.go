// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/uplink"
)

// quickAnswer is how fast an answer that says nothing new may come before the next question is put off: a root that does not hold
// questions open must not be asked in a circle.
const quickAnswer = time.Second

// countTimeout bounds a look at the database besides a transaction, which has a bound of its own.
const countTimeout = 10 * time.Second

// errAskAnew ends a question to root that is to be put differently.
var errAskAnew = errors.New("everything is to be asked for")

// runRoot joins root if need be, then asks and reports until ctx ends.
func (c *Cluster) runRoot(ctx context.Context) {
	for ctx.Err() == nil {
		client := c.joinRoot(ctx)
		if client == nil {
			return
		}
		c.client.Store(client)
		g, ctx := errgroup.WithContext(ctx) // which ends when root has taken the cluster in under another identity
		g.Go(func() error { return c.runDesired(ctx, client) })
		g.Go(func() error { c.runReports(ctx, client); return nil })
		g.Go(func() error { c.runRenewal(ctx, client); return nil })
		g.Go(func() error { c.runAbroad(ctx, client); return nil })
		g.Go(func() error { c.runExport(ctx, client); return nil })
		_ = g.Wait()
	}
}

// joinRoot returns a client for root, joining first unless that was done in an earlier life. It returns nil when ctx ends.
func (c *Cluster) joinRoot(ctx context.Context) *uplink.Client {
	retry := uplink.Backoff{Least: 200 * time.Millisecond, Most: 10 * time.Second}
	for {
		client, err := c.tryJoin(ctx)
		if err == nil {
			return client
		}
		if ctx.Err() == nil {
			c.log.Warn("not joined with root yet, trying again", "root", c.opts.RootURLs, "error", err)
		}
		if !retry.Wait(ctx) {
			return nil
		}
	}
}

func (c *Cluster) tryJoin(ctx context.Context) (*uplink.Client, error) {
	c.mu.Lock()
	link := c.link
	c.mu.Unlock()
	if !link.Joined() {
		if err := c.join(ctx, &link); err != nil {
			return nil, err
		}
		c.log.Info("joined root", "cluster_id", link.ClusterID)
	}
	return uplink.New(c.opts.RootURLs, link.ClusterID, link.CertPEM, link.KeyPEM, link.CAPEM)
}

// join has root take the cluster in, by its token, and stores under which identity. What an earlier one has applied counts no more.
func (c *Cluster) join(ctx context.Context, link *records.Link) error {
	token, err := os.ReadFile(c.opts.JoinTokenFile)
	if err != nil {
		return fmt.Errorf("read join token (--join-token-file): %w", err)
	}
	csr, err := pki.NewCSR([]byte(link.KeyPEM))
	if err != nil {
		return err
	}
	answer, err := uplink.Join(ctx, c.opts.RootURLs, string(bytes.TrimSpace(token)), wire.ClusterJoinRequest{Format: wire.Format, CSR: string(csr),
		Name: c.opts.Name, Location: c.opts.Location})
	if err != nil {
		return err
	}
	err = c.inEpoch(ctx, func(tx pgx.Tx) error {
		return records.StoreIdentity(ctx, tx, answer.ID, answer.Certificate, answer.CA)
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link.ClusterID, c.link.CertPEM, c.link.CAPEM = answer.ID, answer.Certificate, answer.CA
	if link.ClusterID != answer.ID {
		c.link.Applied, c.applied = wire.Stamp{}, wire.Stamp{}
	}
	*link = c.link
	return nil
}

// errRejoined ends the conversation with root under an identity that root has replaced.
var errRejoined = errors.New("root has taken the cluster in anew")

// joinAnew has a root that knows the cluster no more, since somebody has deleted it there or the database is older, take it in again. It
// returns [errRejoined] if it has. What runs goes on in any case.
func (c *Cluster) joinAnew(ctx context.Context) error {
	c.mu.Lock()
	link := c.link
	c.mu.Unlock()
	before := link.ClusterID
	if err := c.join(ctx, &link); err != nil {
		return fmt.Errorf("root does not know this cluster, and does not take it in again: have root make a new token for clusters, and write it to the file of "+
			"--join-token-file: %w", err)
	}
	c.log.Warn("root did not know this cluster any more and has taken it in anew; what runs goes on", "former_id", before, "cluster_id", link.ClusterID)
	return errRejoined
}

// runDesired asks root for what to run, again and again. The first question of a process asks for everything, which heals what was
// lost behind its back. It returns [errRejoined] once root has taken the cluster in under another identity.
func (c *Cluster) runDesired(ctx context.Context, client *uplink.Client) error {
	retry := uplink.Backoff{Least: 200 * time.Millisecond, Most: 5 * time.Second}
	for ctx.Err() == nil {
		begin := time.Now()
		since, d, err := c.ask(ctx, client)
		if err == nil {
			c.setConnected(true)
			if d != nil {
				c.streams.take(ctx, d.Streams) // also of a state that cannot be stored: somebody waits
			}
			if d == nil {
				c.setProblem(nil)
				retry.Reset()
				if time.Since(begin) < quickAnswer && !retry.Wait(ctx) {
					return nil
				}
				continue
			}
			err = c.takeDesired(ctx, since, d)
		} else if errors.Is(err, errAskAnew) {
			continue
		} else if refused := (*uplink.Refusal)(nil); errors.As(err, &refused) && refused.Status == http.StatusNotFound {
			if err = c.joinAnew(ctx); errors.Is(err, errRejoined) {
				return err
			}
		} else if !errors.Is(err, wire.ErrNewerFormat) && (!errors.As(err, &refused) || refused.Status >= 500) {
			c.setConnected(false)
		}
		if ctx.Err() == nil {
			c.setProblem(err)
		}
		if err == nil {
			retry.Reset()
			continue
		}
		if ctx.Err() == nil {
			c.logAway("no desired state from root; going on with what is known", err)
		}
		retry.Wait(ctx)
	}
	return nil
}

// ask asks root for what changed since the last answer. It ends early with errAskAnew when everything is to be asked for.
func (c *Cluster) ask(ctx context.Context, client *uplink.Client) (since wire.Stamp, d *wire.ClusterDesired, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	since = c.applied
	c.cancelAsk = cancel
	c.mu.Unlock()
	d, err = client.Desired(ctx, since, wire.MaxWait)
	if err != nil && errors.Is(context.Cause(ctx), errAskAnew) {
		err = errAskAnew
	}
	return since, d, err
}

// takeDesired stores and applies a desired state in one transaction. Without a change of since meanwhile, the next question starts
// after it.
func (c *Cluster) takeDesired(ctx context.Context, since wire.Stamp, d *wire.ClusterDesired) error {
	c.mu.Lock()
	known := c.link.Applied
	c.mu.Unlock()
	if d.Epoch < known.Epoch && known.Epoch <= uint64(time.Now().Add(maxAhead).UnixMilli()) {
		// It is older than what this cluster has applied, as after a restore. The next report says so, and root overrules it.
		wake(c.wakeReporter)
		return fmt.Errorf("ignore desired state %s: %s is applied already; root raises its epoch when it hears of that", d.Stamp, known)
	}
	if d.Epoch == known.Epoch && d.Revision < known.Revision {
		// Of a root process that was stopped between reading and answering, while another one answered; or after a restore, as above.
		wake(c.wakeReporter)
		return fmt.Errorf("ignore desired state %s: %s is applied already", d.Stamp, known)
	}
	called := c.called(d.Removed)
	err := c.commit(ctx, func(l *ledger.Ledger) ledger.Changes { return l.TakeDesired(d, called, time.Now()) },
		func(ctx context.Context, tx pgx.Tx) error { return records.StoreDesired(ctx, tx, d) })
	if err != nil {
		return err
	}
	counting, cancel := context.WithTimeout(ctx, countTimeout)
	free, err := records.FreeSubnets(counting, c.pool)
	cancel()
	c.mu.Lock()
	if err == nil {
		if free > c.free {
			c.demand.leased()
		}
		c.free = free
	}
	moved := c.link.Ranges != d.Ranges
	c.link.Ranges, c.link.Applied = d.Ranges, d.Stamp
	c.asked = d.ShowWorkers
	if c.applied == since {
		c.applied = d.Stamp
	}
	c.mu.Unlock()
	if moved {
		c.decide.Lock()
		c.republish()
		c.decide.Unlock()
	}
	wake(c.wakeDecider)
	wake(c.wakeReporter)
	if len(called) > 0 {
		time.AfterFunc(ledger.DefaultDrain, func() { wake(c.wakeDecider) }) // what gets no new flows until then
	}
	return nil
}

// called returns those services of the tombstones that somebody calls.
func (c *Cluster) called(removed []wire.Tombstone) map[string]bool {
	if len(removed) == 0 {
		return nil
	}
	c.feedPending()
	out := map[string]bool{}
	c.plane.Do(func(core *overlay.Core) []overlay.Message {
		for _, t := range removed {
			if core.Wanted(t.ServiceID) {
				out[t.ServiceID] = true
			}
		}
		return nil
	})
	return out
}

// askEverything has root asked for everything, at once. Callers hold mu.
func (c *Cluster) askEverything() {
	c.applied = wire.Stamp{}
	if c.cancelAsk != nil {
		c.cancelAsk(errAskAnew)
	}
}

// logAway logs a failed exchange with root: as a warning when it is news, and otherwise for those who look closely.
func (c *Cluster) logAway(text string, err error) {
	level := slog.LevelWarn
	if c.warned.Swap(true) {
		level = slog.LevelDebug
	}
	c.log.Log(context.Background(), level, text, "error", err)
}

// setProblem notes why root's desired state is not taken over; nil if it is.
func (c *Cluster) setProblem(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	c.mu.Lock()
	news := text != "" && text != c.problem
	c.problem = text
	c.mu.Unlock()
	if news && errors.Is(err, wire.ErrNewerFormat) {
		c.log.Error("desired state of root is refused; what runs goes on", "error", err)
	}
}

func (c *Cluster) setConnected(now bool) {
	if now {
		c.warned.Store(false)
	}
	if c.connected.Swap(now) != now {
		c.log.Info("root", "connected", now)
	}
}
