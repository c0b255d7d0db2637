// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// databaseTimeout bounds connecting to Postgres, and each question.
const databaseTimeout = 5 * time.Second

// leastPostgres is the oldest major version that is still kept by its makers.
const leastPostgres = 13

// errNoDatabase says that the machine is not set up yet, as far as can be seen.
var errNoDatabase = errors.New("no --database is known: the orchestrator neither runs nor was one given")

// connect connects to the orchestrator's database as it does. The URL, which may hold a password, is in no error.
func connect(ctx context.Context, m *machine) (*pgx.Conn, error) {
	where := m.own.get("database", "", "")
	if where == "" {
		return nil, errNoDatabase
	}
	if file := m.own.get("database-password-file", "", ""); file != "" {
		password, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read its password: %w", err)
		}
		u, err := url.Parse(where)
		if err != nil {
			return nil, errors.New("--database is no URL")
		}
		u.User = url.UserPassword(u.User.Username(), strings.TrimRight(string(password), "\r\n"))
		where = u.String()
	}
	cfg, err := pgx.ParseConfig(where)
	if err != nil {
		return nil, errors.New("--database is no URL of a Postgres database")
	}
	cfg.ConnectTimeout = databaseTimeout
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	return pgx.ConnectConfig(ctx, cfg)
}

// target is where a database is, for a person.
func target(m *machine) (host, port string) {
	cfg, err := pgx.ParseConfig(m.own.get("database", "", ""))
	if err != nil {
		return "?", "5432"
	}
	return cfg.Host, strconv.Itoa(int(cfg.Port))
}

func checkDatabase(ctx context.Context, m *machine, c *collector) {
	conn, err := connect(ctx, m)
	if errors.Is(err, errNoDatabase) {
		c.skip("%v", err)
		return
	}
	host, port := target(m)
	values := fill{"host", host, "port", port}
	if err != nil {
		c.found("database-unreachable", values, "Postgres cannot be used at %s, port %s: %s", host, port, firstLine(reason(err)))
		return
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	var version int
	var readOnly, creates bool
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int / 10000, current_setting('transaction_read_only')::bool,
		has_schema_privilege(coalesce(current_schema(), 'public'), 'CREATE')`).Scan(&version, &readOnly, &creates)
	switch {
	case err != nil:
		c.found("database-unreachable", values, "Postgres at %s, port %s, takes connections, and does not answer: %s", host, port, firstLine(err.Error()))
	case version < leastPostgres:
		c.found("database-old", values, "Postgres at %s, port %s, is version %d", host, port, version)
	case readOnly:
		c.found("database-read-only", values, "Postgres at %s, port %s, takes no writes: it is a standby, or set to read only", host, port)
	case !creates:
		c.found("database-read-only", values, "the account for Postgres at %s, port %s, may create no tables there", host, port)
	default:
		c.note("Postgres %d at %s takes writes", version, host)
	}
}

// clusterJoined reports whether root has taken this cluster in.
func clusterJoined(ctx context.Context, m *machine) (bool, error) {
	cert, err := clusterCertificate(ctx, m)
	return cert != "", err
}

// clusterCertificate is what root has issued; "" before it has.
func clusterCertificate(ctx context.Context, m *machine) (string, error) {
	var cert *string
	err := one(ctx, m, `SELECT cert_pem FROM root_link`, &cert)
	if err != nil || cert == nil {
		return "", err
	}
	return *cert, nil
}

// one reads a row of the database. That there is none, or no such table yet, is no error.
func one(ctx context.Context, m *machine, sql string, into any) error {
	conn, err := connect(ctx, m)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	err = conn.QueryRow(ctx, sql).Scan(into)
	const undefinedTable = "42P01"
	var code interface{ SQLState() string }
	if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &code) && code.SQLState() == undefinedTable {
		return nil
	}
	return err
}

// checkAuthority judges an orchestrator's own authority and, of a cluster, what root has issued.
func checkAuthority(ctx context.Context, m *machine, c *collector) {
	var authority string
	if err := one(ctx, m, `SELECT cert_pem FROM authority`, &authority); err != nil {
		c.skip("certificates are in the database: %s", firstLine(reason(err)))
		return
	}
	var urls []string
	if m.above != nil {
		m.above.ask(ctx)
		urls = m.above.urls
	}
	values := fill{"dir", "the database", "file", cmp.Or(m.tokenFile(), "FILE"), "host", hostOf(strings.Join(urls, ","))}
	now := time.Now()
	if authority != "" {
		certificate(c, "the authority's certificate", []byte(authority), now, values)
	}
	if m.role == Cluster {
		cert, err := clusterCertificate(ctx, m)
		if err == nil && cert != "" {
			certificate(c, "this cluster's certificate", []byte(cert), now, values)
		}
	}
	if len(c.notes) == 0 && len(c.findings) == 0 {
		c.skip("there is none yet: the orchestrator makes it at its first start")
	}
}

// checkPrograms asks the programs that run.
func checkPrograms(ctx context.Context, m *machine, c *collector) {
	if m.role == Worker {
		checkWorkersPrograms(ctx, m, c)
		return
	}
	if len(m.running) == 0 {
		c.skip("the orchestrator does not run")
		return
	}
	port := portOf(m.listen())
	if m.contained {
		// Where it listens inside says nothing of where that is published; the documented port is what others dial.
		port = map[Role]int{Root: defaultRootPort, Cluster: defaultClusterAt}[m.role]
	}
	host := "127.0.0.1"
	if h, _, err := net.SplitHostPort(m.listen()); err == nil && h != "" && h != "0.0.0.0" && h != "::" && !m.contained {
		host = h
	}
	where := "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + "/readyz"
	r, err := get(ctx, &http.Client{Timeout: aboveTimeout, Transport: &http.Transport{}}, where, "")
	name := m.running[0].name
	switch {
	case err != nil && m.contained:
		c.skip("%s runs in a container, and its port is not published: %s", name, reason(err))
	case err != nil:
		c.found("not-ready", fill{"program", name}, "%s runs, and does not answer at %s: %s", name, where, reason(err))
	case r.status != http.StatusOK:
		c.found("not-ready", fill{"program", name}, "%s says that it is not ready: %s", name, detail(r.body))
	default:
		c.note("%s is ready", name)
	}
}

func checkWorkersPrograms(ctx context.Context, m *machine, c *collector) {
	if _, runs := m.runs(progNet); runs {
		var s wire.LocalStatus
		socket := m.net.get("socket", "", "/run/oakestra/netmanager.sock")
		err := status(ctx, socket, wire.PathLocalStatus, &s)
		switch {
		case errors.Is(err, os.ErrPermission):
			c.note("NetManager was not asked: %s", reason(err))
		case err != nil:
			c.found("not-ready", fill{"program", progNet}, "NetManager runs, and does not answer at %s: %s", socket, reason(err))
		case !s.Ready && s.WorkerID != "":
			c.found("not-ready", fill{"program", progNet}, "NetManager says that it is not ready: %s", s.Reason)
		case !s.Ready:
			c.note("NetManager waits for NodeEngine: %s", s.Reason)
		default:
			c.note("NetManager is ready")
		}
	}
	if _, runs := m.runs(progEngine); runs {
		checkEngine(ctx, m, c)
	}
	if len(m.running) == 0 {
		c.skip("neither NodeEngine nor NetManager runs")
	}
}

func checkEngine(ctx context.Context, m *machine, c *collector) {
	var s struct {
		Connected bool   `json:"connected"`
		Refused   string `json:"refused"`
	}
	socket := filepath.Join(m.engine.get("run-dir", "", "/run/oakestra/nodeengine"), "nodeengine.sock")
	err := status(ctx, socket, "/v1/status", &s)
	switch {
	case errors.Is(err, os.ErrPermission):
		c.note("NodeEngine was not asked: %s", reason(err))
	case err != nil && m.above.identity == nil:
		c.note("NodeEngine has not joined yet")
	case err != nil:
		c.found("not-ready", fill{"program", progEngine}, "NodeEngine runs, and does not answer at %s: %s", socket, reason(err))
	case s.Refused != "":
		c.found("not-ready", fill{"program", progEngine}, "NodeEngine does not take what its cluster wants: %s", s.Refused)
	case !s.Connected:
		c.found("not-connected", fill{"program", progEngine}, "NodeEngine has no session with its cluster's MQTT broker")
	default:
		c.note("NodeEngine is connected")
	}
}
