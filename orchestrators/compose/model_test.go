// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// service is what one file or several say of a service, in a form in which two readers of them can be compared.
type service struct {
	// Name is that of its container, if it has one of its own.
	Name                              string
	Image, User, Restart, NetworkMode string
	Command                           []string
	Environment                       map[string]string
	// Ports are PUBLISHED:TARGET/PROTOCOL, with HOST: in front if they are published on one address alone.
	Ports []string
	// Volumes are SOURCE:TARGET, with :ro behind if they are not to be written. A source that is a path is one of the host.
	Volumes []string
	// DependsOn is what a service waits for, and for what of it.
	DependsOn map[string]string
	// Health is the command that finds out, and how often and long; empty for that of the image, NONE for none.
	Health string
	Scale  int
}

// project is a composition with what overrides it.
type project struct {
	Services map[string]service
	Volumes  []string
	IPv6     bool
	Subnets  []string
}

// environment is what a user exports before: all that any file asks for.
func environment() map[string]string {
	return map[string]string{
		"CLUSTER_NAME": "My_Awesome_Cluster", "CLUSTER_LOCATION": "48.26,11.67,1000", "SYSTEM_MANAGER_URL": "192.0.2.10",
		"DATABASE_PASSWORD_FILE": "/etc/oakestra/database.password", "ROOT_TLS_DIR": "/etc/ssl/oakestra", "BROKER": "broker.example.org:8883",
	}
}

// databaseEnvironment is what goes with a Postgres of the user's, and changes what the other files say.
func databaseEnvironment() map[string]string {
	e := environment()
	e["DATABASE_HOST"], e["DATABASE_OPTIONS"] = "db.example.org", "sslmode=verify-full"
	return e
}

// byComposeGo reads files as docker compose v2 does, whose reader it is.
func byComposeGo(t *testing.T, files []string, env map[string]string) project {
	t.Helper()
	p, err := load(t, files, env)
	require.NoError(t, err, files)
	out := project{Services: map[string]service{}, Volumes: p.VolumeNames()}
	sort.Strings(out.Volumes)
	if n, ok := p.Networks["default"]; ok {
		out.IPv6 = n.EnableIPv6 != nil && *n.EnableIPv6
		for _, c := range n.Ipam.Config {
			out.Subnets = append(out.Subnets, c.Subnet)
		}
	}
	for name, s := range p.Services {
		m := service{Name: s.ContainerName, Image: s.Image, User: s.User, Restart: s.Restart, NetworkMode: s.NetworkMode, Command: s.Command,
			Environment: map[string]string{}, DependsOn: map[string]string{}, Scale: s.GetScale()}
		for key, value := range s.Environment {
			require.NotNil(t, value, key)
			m.Environment[key] = *value
		}
		for _, q := range s.Ports {
			m.Ports = append(m.Ports, port(q.HostIP, q.Published, int(q.Target), q.Protocol))
		}
		for _, v := range s.Volumes {
			m.Volumes = append(m.Volumes, mount(v.Source, v.Target, v.ReadOnly))
		}
		for other, d := range s.DependsOn {
			require.True(t, d.Required)
			m.DependsOn[other] = d.Condition
		}
		if h := s.HealthCheck; h != nil {
			m.Health = health(h.Disable, h.Test, h.Interval, h.Timeout, h.Retries)
		}
		out.Services[name] = m.sorted()
	}
	return out
}

func load(t *testing.T, files []string, env map[string]string) (*types.Project, error) {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	details := types.ConfigDetails{WorkingDir: dir, ConfigFiles: types.ToConfigFiles(files), Environment: env}
	return loader.LoadWithContext(t.Context(), details, func(o *loader.Options) { o.SetProjectName("oakestra", true) })
}

// refusal is the error with which files cannot be read.
func refusal(t *testing.T, files []string, env map[string]string) error {
	t.Helper()
	_, err := load(t, files, env)
	return err
}

// health is how a health check reads. The durations are of either reader, as texts; a check that is off has none.
func health[D fmt.Stringer](off bool, test []string, interval, timeout *D, retries *uint64) string {
	if off || len(test) > 0 && test[0] == "NONE" {
		return "NONE"
	}
	text := strings.Join(test, " ")
	for _, d := range []*D{interval, timeout} {
		if d != nil {
			text += " " + (*d).String()
		}
	}
	if retries != nil {
		text += fmt.Sprintf(" %d times", *retries)
	}
	return text
}

func port(host, published string, target int, protocol string) string {
	if protocol == "" {
		protocol = "tcp"
	}
	text := fmt.Sprintf("%s:%d/%s", published, target, protocol)
	if host != "" {
		text = host + ":" + text
	}
	return text
}

func mount(source, target string, readOnly bool) string {
	text := source + ":" + target
	if readOnly {
		text += ":ro"
	}
	return text
}

func (s service) sorted() service {
	sort.Strings(s.Ports)
	sort.Strings(s.Volumes)
	return s
}

// old is what `docker-compose config` of 1.29 prints.
type old struct {
	Services map[string]struct {
		ContainerName string            `json:"container_name"`
		Image         string            `json:"image"`
		User          string            `json:"user"`
		Restart       string            `json:"restart"`
		NetworkMode   string            `json:"network_mode"`
		Command       []string          `json:"command"`
		Environment   map[string]string `json:"environment"`
		Ports         []struct {
			Published  int    `json:"published"`
			Target     int    `json:"target"`
			Protocol   string `json:"protocol"`
			ExternalIP string `json:"external_ip"`
		} `json:"ports"`
		Volumes     []string                              `json:"volumes"`
		DependsOn   map[string]struct{ Condition string } `json:"depends_on"`
		Healthcheck *struct {
			Test     []string  `json:"test"`
			Interval *duration `json:"interval"`
			Timeout  *duration `json:"timeout"`
			Retries  *uint64   `json:"retries"`
		} `json:"healthcheck"`
		Scale *int `json:"scale"`
	} `json:"services"`
	Volumes  map[string]any `json:"volumes"`
	Networks map[string]struct {
		EnableIPv6 bool `json:"enable_ipv6"`
		IPAM       struct {
			Config []struct {
				Subnet string `json:"subnet"`
			} `json:"config"`
		} `json:"ipam"`
	} `json:"networks"`
}

// duration is one as 1.29 writes it.
type duration string

func (d duration) String() string { return string(d) }

// byOldCompose reads files with docker-compose 1.29, if that is installed.
func byOldCompose(t *testing.T, files []string, env map[string]string) (p project, ok bool) {
	t.Helper()
	program, err := exec.LookPath("docker-compose")
	if err != nil {
		return p, false
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if v, err := exec.CommandContext(ctx, program, "version", "--short").Output(); err != nil || !strings.HasPrefix(string(v), "1.") { //nolint:gosec // found in PATH
		return p, false
	}
	args := []string{}
	for _, f := range files {
		args = append(args, "-f", f)
	}
	cmd := exec.CommandContext(ctx, program, append(args, "config")...) //nolint:gosec // as before
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LANG=C.UTF-8"}
	for key, value := range env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	text, err := cmd.Output()
	require.NoError(t, err, "%v: %s", files, errs.String())
	require.Empty(t, errs.String(), "it has something to say about %v", files)
	var o old
	require.NoError(t, yaml.Unmarshal(text, &o), string(text))
	return o.project(), true
}

func (o old) project() project {
	p := project{Services: map[string]service{}}
	for name := range o.Volumes {
		p.Volumes = append(p.Volumes, name)
	}
	sort.Strings(p.Volumes)
	if n, ok := o.Networks["default"]; ok {
		p.IPv6 = n.EnableIPv6
		for _, c := range n.IPAM.Config {
			p.Subnets = append(p.Subnets, c.Subnet)
		}
	}
	for name, s := range o.Services {
		m := service{Name: s.ContainerName, Image: s.Image, User: s.User, Restart: s.Restart, NetworkMode: s.NetworkMode, Command: s.Command,
			Environment: map[string]string{}, DependsOn: map[string]string{}, Scale: 1}
		for key, value := range s.Environment {
			m.Environment[key] = value
		}
		for _, q := range s.Ports {
			m.Ports = append(m.Ports, port(q.ExternalIP, fmt.Sprint(q.Published), q.Target, q.Protocol))
		}
		for _, v := range s.Volumes {
			m.Volumes = append(m.Volumes, strings.TrimSuffix(v, ":rw"))
		}
		for other, d := range s.DependsOn {
			m.DependsOn[other] = d.Condition
		}
		if h := s.Healthcheck; h != nil {
			m.Health = health(false, h.Test, h.Interval, h.Timeout, h.Retries)
		}
		if s.Scale != nil {
			m.Scale = *s.Scale
		}
		p.Services[name] = m.sorted()
	}
	return p
}

// combination is a composition with overrides that go together.
type combination struct {
	base      string
	overrides []string
}

func (c combination) name() string {
	return strings.TrimSuffix(c.base, ".yaml") + "+" + strings.Join(c.overrides, "+")
}

func (c combination) has(override string) bool { return slices.Contains(c.overrides, override) }

func (c combination) files() []string {
	files := []string{c.base}
	for _, o := range c.overrides {
		files = append(files, "override-"+o+".yaml")
	}
	return files
}

func (c combination) env() map[string]string {
	if c.has("postgres") {
		return databaseEnvironment()
	}
	return environment()
}

// combinations are all that README.md lets a user put together.
func combinations() []combination {
	var all []combination
	for base, groups := range map[string][][]string{
		"1-DOC.yaml":                {{"", "postgres"}, {"", "mosquitto", "broker"}, {"", "ipv6"}, {"", "tls"}},
		"root-orchestrator.yaml":    {{"", "postgres"}, {"", "ipv6"}, {"", "tls"}},
		"cluster-orchestrator.yaml": {{"", "postgres"}, {"", "mosquitto", "broker"}, {"", "ipv6"}},
	} {
		chosen := [][]string{nil}
		for _, group := range groups {
			var next [][]string
			for _, before := range chosen {
				for _, one := range group {
					if one == "" {
						next = append(next, before)
					} else {
						next = append(next, append(slices.Clone(before), one))
					}
				}
			}
			chosen = next
		}
		host := "host-" + strings.TrimSuffix(strings.TrimSuffix(base, ".yaml"), "-orchestrator")
		for _, overrides := range append(chosen, []string{host}, []string{"postgres", host}) {
			all = append(all, combination{base, overrides})
		}
	}
	slices.SortFunc(all, func(a, b combination) int { return strings.Compare(a.name(), b.name()) })
	return all
}
