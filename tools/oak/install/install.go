// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// Options say what is to be on this machine, and how.
type Options struct {
	// Root, Cluster and Worker are what is wanted; several make up a machine that is all of them.
	Root, Cluster, Worker bool
	// From is the folder with the programs; empty for the one that oak itself is in.
	From string
	// Database is the URL of a Postgres database; empty for one in this machine's Postgres, which is made. With a root and a cluster at once it
	// has to be empty.
	Database string
	// RootNames are DNS names and addresses by which others reach the root.
	RootNames []string
	// Name and Location are the cluster's, RootURL where its root is, ClusterToken the file with the token to join it with.
	Name, Location, RootURL, ClusterToken string
	// ClusterAddress is the host of the worker's cluster, WorkerToken the file with the token to join it with.
	ClusterAddress, WorkerToken string
	// NoStart leaves everything to be started later, DryRun only tells what would be done.
	NoStart, DryRun bool
	// Out gets a line for each step.
	Out io.Writer
}

// Files of the configuration folder with secrets.
const (
	adminPassword = "admin.password"
	clusterToken  = "cluster.token"
	workerToken   = "worker.token"
)

// Install brings Oakestra onto this machine. What is there already stays as it is, save for programs of another version and for settings that the
// options name.
func Install(ctx context.Context, o Options) error {
	p, err := o.plan()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 && !o.DryRun {
		return errors.New("installing takes root: run it as root, or look with --dry-run at what it would do")
	}
	return p.run(ctx, o.Out, o.DryRun)
}

func (o *Options) plan() (*plan, error) {
	if o.From == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find out where the programs are: %w: name the folder with --from", err)
		}
		o.From = filepath.Dir(self)
	}
	from, err := filepath.Abs(o.From)
	if err != nil {
		return nil, fmt.Errorf("find the programs: %w", err)
	}
	o.From = from
	p := &plan{}
	var services []Service
	p.program(o.From, "oak")
	p.folder(ConfigDir, "", 0o755)
	p.folder("/var/lib/oakestra", "", 0o755)
	for _, part := range []struct {
		wanted   bool
		add      func(*plan) error
		services []Service
	}{{o.Root, o.root, []Service{Root}}, {o.Cluster, o.cluster, []Service{Cluster}}, {o.Worker, o.worker, []Service{Net, Engine}}} {
		if !part.wanted {
			continue
		}
		if err := part.add(p); err != nil {
			return nil, err
		}
		services = append(services, part.services...)
	}
	p.start(!o.NoStart, services...)
	if o.Root {
		p.note("\nThe first administrator is Admin; the password is in %[1]s.\n    oak login --url http://127.0.0.1:10000 --username Admin --password-stdin < %[1]s", filepath.Join(ConfigDir, adminPassword))
	}
	return p, nil
}

// orchestrator adds what both orchestrators need.
func (o *Options) orchestrator(p *plan, s Service, set map[string]string) error {
	p.program(o.From, s.Program)
	p.user(s)
	p.folder(s.State, s.User, 0o700)
	if o.Database == "" {
		p.database(s)
		set[s.EnvPrefix+"DATABASE"] = s.localDatabase()
	} else {
		bare, password, err := withoutPassword(o.Database)
		if err != nil {
			return err
		}
		set[s.EnvPrefix+"DATABASE"] = bare
		if password != "" {
			file := filepath.Join(ConfigDir, s.Program+".password")
			set[s.EnvPrefix+"DATABASE_PASSWORD_FILE"] = file
			p.text("install -m 0400 -o "+s.User+" /dev/stdin "+file+"   # the database's password", file, 0o400, s.User, func() ([]byte, error) { return []byte(password + "\n"), nil })
		}
	}
	for name, value := range set {
		if err := fit(name, value); err != nil {
			return err
		}
	}
	p.configure(s, set)
	p.unit(s, o.From)
	return nil
}

func (o *Options) root(p *plan) error {
	set := map[string]string{}
	if len(o.RootNames) > 0 {
		set["OAK_ROOT_NAME"] = strings.Join(o.RootNames, ",")
	}
	password := filepath.Join(ConfigDir, adminPassword)
	set["OAK_ROOT_ADMIN_PASSWORD_FILE"] = password
	if err := o.orchestrator(p, Root, set); err != nil {
		return err
	}
	p.add("root-orchestrator password create --output "+password, func(ctx context.Context) (bool, error) {
		if _, err := os.Stat(password); err == nil {
			return false, nil
		}
		if err := call(ctx, o.installed(Root.Program), "password", "create", "--output", password, "--mode", "0400"); err != nil {
			return false, err
		}
		uid, gid, err := idsOf(Root.User)
		if err != nil {
			return false, err
		}
		return true, os.Chown(password, uid, gid)
	})
	return nil
}

func (o *Options) cluster(p *plan) error {
	known, err := settings(Cluster.envFile())
	if err != nil {
		return err
	}
	set := map[string]string{"OAK_JOIN_TOKEN_FILE": filepath.Join(ConfigDir, clusterToken)}
	if o.Root && o.RootURL == "" {
		o.RootURL = "https://127.0.0.1:10000"
	}
	for name, value := range map[string]string{"OAK_NAME": o.Name, "OAK_LOCATION": o.Location, "OAK_ROOT_URL": o.RootURL} {
		if value != "" {
			set[name] = value
		}
	}
	if o.Name == "" && known["OAK_NAME"] == "" {
		return cmdline.Usagef("flag --name is missing: what people call the cluster, unlike any other of its root")
	}
	if o.RootURL == "" && known["OAK_ROOT_URL"] == "" {
		return cmdline.Usagef("flag --root-url is missing: where the root is, such as https://192.0.2.10:10000")
	}
	if err := o.orchestrator(p, Cluster, set); err != nil {
		return err
	}
	file := filepath.Join(ConfigDir, clusterToken)
	switch {
	case o.ClusterToken != "":
		p.token(o.ClusterToken, file, Cluster.User)
	case o.Root:
		p.handToken(o.installed(Root.Program), Root, file, Cluster.User)
	default:
		if _, err := os.Stat(file); err != nil {
			return cmdline.Usagef("flag --token-file is missing: the file with what `oak token create` has printed at the root; it goes to %s", file)
		}
	}
	return nil
}

func (o *Options) worker(p *plan) error {
	for _, program := range []string{Engine.Program, Net.Program, "oak-net"} {
		p.program(o.From, program)
	}
	file := filepath.Join(NetConfigDir, NetworkConfig)
	if _, err := os.Stat(file); err != nil {
		p.text("install -m 0644 "+NetworkConfig+" "+file, file, 0o644, "", func() ([]byte, error) { return File(NetworkConfig), nil })
	}
	set := map[string]string{}
	if o.ClusterAddress != "" {
		set["OAK_NODEENGINE_CLUSTER_ADDRESS"] = o.ClusterAddress
		if err := fit("--cluster-address", o.ClusterAddress); err != nil {
			return err
		}
	}
	p.configure(Net, nil)
	p.configure(Engine, set)
	p.unit(Net, o.From)
	p.unit(Engine, o.From)
	file = filepath.Join(ConfigDir, workerToken)
	switch {
	case o.WorkerToken != "":
		p.token(o.WorkerToken, file, "")
	case o.Cluster:
		p.handToken(o.installed(Cluster.Program), Cluster, file, "")
	default:
		if _, err := os.Stat(file); err != nil {
			return cmdline.Usagef("flag --token-file is missing: the file with what `cluster-orchestrator token create` has printed at the cluster; it goes to %s", file)
		}
	}
	const socket = "/run/containerd/containerd.sock"
	if _, err := os.Stat(socket); err != nil {
		p.note("\ncontainerd does not run here (there is no %s); NodeEngine waits for it. On Debian: apt-get install containerd", socket)
	}
	return nil
}

// installed is where a program is once it is installed.
func (o *Options) installed(program string) string {
	for _, dir := range packaged {
		if o.From == dir {
			return filepath.Join(dir, program)
		}
	}
	return filepath.Join(binDir, program)
}
