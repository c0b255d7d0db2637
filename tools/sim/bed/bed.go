// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
)

const (
	rootProgram    = "root-orchestrator"
	clusterProgram = "cluster-orchestrator"
	clusterName    = "c1"
	rootName       = "root"
	adminName      = "Admin"
)

// readyTimeout bounds how long one of the programs may take to answer.
const readyTimeout = time.Minute

// tokenLife is how long a join token is good for.
const tokenLife = 6 * time.Hour

// Options say what a bed is made of.
type Options struct {
	// Bin is the folder of the orchestrators' programs.
	Bin string
	// Environment is added to the orchestrators', NAME=VALUE each.
	Environment []string
	// Mosquitto takes the place of the cluster's own broker.
	Mosquitto bool
	// ClusterArgs are added to the cluster orchestrator's arguments.
	ClusterArgs []string
}

// Bed is a root, a cluster and a Postgres that run.
type Bed struct {
	Postgres, Root, Cluster *Process
	// Broker is mosquitto; nil if the cluster has a broker of its own.
	Broker *Process
	// API is root's URL, ClusterAPI HOST:PORT of the cluster's.
	API, ClusterAPI string
	// Client is logged in at root as the administrator.
	Client *client.Client

	options  Options
	dir      string
	password string
	starter  *starter
}

// Up starts everything and returns when all of it answers. What it started is gone if it fails.
func Up(ctx context.Context, o Options) (_ *Bed, err error) {
	b := &Bed{options: o, starter: newStarter()}
	if b.options.Bin, err = filepath.Abs(o.Bin); err != nil {
		return nil, fmt.Errorf("find the programs: %w", err)
	}
	for _, p := range []string{rootProgram, clusterProgram} {
		if _, err := os.Stat(filepath.Join(b.options.Bin, p)); err != nil {
			return nil, fmt.Errorf("find the programs: %w: make build, or name their folder with --bin", err)
		}
	}
	if b.dir, err = os.MkdirTemp("", "oak-sim-"); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() {
		if err != nil {
			b.Down()
		}
	}()
	var secret [12]byte
	_, _ = rand.Read(secret[:]) // never fails
	b.password = hex.EncodeToString(secret[:])
	// Postgres, which is somebody else, has to get through.
	if err := os.Chmod(b.dir, 0o711); err != nil { //nolint:gosec // it holds no secret that the folders in it do not keep
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if err := os.Mkdir(b.logs(), 0o700); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	for _, step := range []func(context.Context) error{b.postgres, b.root, b.cluster, b.login} {
		within, cancel := context.WithTimeout(ctx, readyTimeout)
		err := step(within)
		cancel()
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *Bed) logs() string { return filepath.Join(b.dir, "log") }

// Logs is the folder of all logs, which goes with the bed.
func (b *Bed) Logs() string { return b.logs() }

// freePort returns a port of loopback that nobody has, for both TCP and UDP. Somebody may take it before it is used: a start
// that fails says so.
func freePort() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		addr := l.Addr().String()
		u, err := net.ListenPacket("udp", addr)
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return addr, nil
		}
	}
	return "", fmt.Errorf("find a free port: none is free for both TCP and UDP")
}

func (b *Bed) environment() []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "TMPDIR=" + os.TempDir()}, b.options.Environment...)
}

func (b *Bed) root(ctx context.Context) error {
	addr, err := freePort()
	if err != nil {
		return err
	}
	if err := b.createDatabase(ctx, rootName); err != nil {
		return err
	}
	file := filepath.Join(b.logs(), "password")
	if err := os.WriteFile(file, []byte(b.password), 0o600); err != nil {
		return fmt.Errorf("write the password: %w", err)
	}
	b.API = "http://" + addr
	b.Root, err = b.starter.run(spec{name: rootProgram, path: filepath.Join(b.options.Bin, rootProgram), env: b.environment(), end: syscall.SIGTERM,
		args: []string{"--listen", addr, "--database", b.database(rootName), "--admin-password-file", file}}, b.logs())
	if err != nil {
		return err
	}
	return b.Root.until(ctx, "an answer", answers(ctx, b.API+"/readyz"))
}

func (b *Bed) cluster(ctx context.Context) error {
	if err := b.createDatabase(ctx, clusterName); err != nil {
		return err
	}
	token, err := b.token(ctx, rootProgram, "cluster", rootName, 1)
	if err != nil {
		return err
	}
	file := filepath.Join(b.logs(), "join-token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		return fmt.Errorf("write a join token: %w", err)
	}
	var ports [3]string
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return err
		}
	}
	b.ClusterAPI = ports[0]
	broker := []string{"--mqtt-listen", ports[1]}
	if b.options.Mosquitto {
		if err := b.mosquitto(ctx, ports[1]); err != nil {
			return err
		}
		broker = []string{"--broker", ports[1]}
	}
	args := append([]string{"--listen", ports[0], "--hello-listen", ports[1], "--other-hello-listen", ports[2],
		"--database", b.database(clusterName), "--root-url", "https://" + strings.TrimPrefix(b.API, "http://"), "--join-token-file", file,
		"--name", clusterName, "--location", "48.26,11.67,1000"}, broker...)
	args = append(args, b.options.ClusterArgs...)
	b.Cluster, err = b.starter.run(spec{name: clusterProgram, path: filepath.Join(b.options.Bin, clusterProgram), args: args, env: b.environment(),
		end: syscall.SIGTERM}, b.logs())
	if err != nil {
		return err
	}
	return b.Cluster.until(ctx, "readiness", answers(ctx, "http://"+b.ClusterAPI+"/readyz"))
}

func (b *Bed) login(ctx context.Context) (err error) {
	b.Client, err = b.NewClient(ctx)
	return err
}

// NewClient returns another client that is logged in as the administrator.
func (b *Bed) NewClient(ctx context.Context) (*client.Client, error) {
	c, err := client.New(client.Options{URL: b.API, UserAgent: "oak-sim"})
	if err == nil {
		err = c.Login(ctx, adminName, b.password, "")
	}
	if err != nil {
		return nil, fmt.Errorf("log in at root: %w", err)
	}
	return c, nil
}

// answers returns whether a URL answers 200.
func answers(ctx context.Context, url string) func() bool {
	return func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
}

// WorkerToken returns a token with which so many workers may join.
func (b *Bed) WorkerToken(ctx context.Context, uses int) (string, error) {
	return b.token(ctx, clusterProgram, "worker", clusterName, uses)
}

func (b *Bed) token(ctx context.Context, program, role, database string, uses int) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.options.Bin, program), "token", "create", "--quiet", //nolint:gosec // our own program
		"--role", role, "--database", b.database(database), "--ttl", tokenLife.String(), "--uses", strconv.Itoa(uses))
	cmd.Env, cmd.Dir = b.environment(), "/"
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("make a join token for a %s with %s: %w: %s", role, program, err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// Check returns an error if one of the processes has ended.
func (b *Bed) Check() error {
	for _, p := range b.processes() {
		if err := p.check(); err != nil {
			return err
		}
	}
	return nil
}

// processes lists those that were started.
func (b *Bed) processes() (all []*Process) {
	for _, p := range []*Process{b.Cluster, b.Broker, b.Root, b.Postgres} {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

// Down ends everything and removes its folder.
func (b *Bed) Down() {
	if b.Client != nil {
		b.Client.Close()
	}
	for _, p := range b.processes() {
		p.stop()
	}
	_ = os.RemoveAll(b.dir)
}
