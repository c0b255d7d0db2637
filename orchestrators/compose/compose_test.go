// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBothGenerationsReadTheSame: what a user of 1.29 starts is what one of v2 starts. 1.29 takes a second for each look, so that it is asked
// for each override, and for as many of them at once as go together.
func TestBothGenerationsReadTheSame(t *testing.T) {
	most := map[string]int{}
	for _, c := range combinations() {
		most[c.base] = max(most[c.base], len(c.overrides))
	}
	for _, c := range combinations() {
		if n := len(c.overrides); n > 1 && n < most[c.base] && !c.onHost() {
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			now := byComposeGo(t, c.files(), c.env())
			before, ok := byOldCompose(t, c.files(), c.env())
			if !ok {
				t.Skip("docker-compose 1.29 is not installed")
			}
			require.Equal(t, before, now)
		})
	}
}

func (c combination) onHost() bool {
	return slices.ContainsFunc(c.overrides, func(o string) bool { return strings.HasPrefix(o, "host-") })
}

// each calls f with all that a user may put together, and what is started of it.
func each(t *testing.T, f func(t *testing.T, c combination, all project, started map[string]service)) {
	t.Helper()
	for _, c := range combinations() {
		t.Run(c.name(), func(t *testing.T) {
			p := byComposeGo(t, c.files(), c.env())
			started := maps.Clone(p.Services)
			maps.DeleteFunc(started, func(_ string, s service) bool { return s.Scale == 0 })
			f(t, c, p, started)
		})
	}
}

// serves reports whether a service is one that goes on, rather than one that does something and ends.
func (s service) serves() bool { return s.Restart != "" }

// TestStartIsOrderedByReadiness: whoever needs something waits until that says that it is ready, or has done what it has to do; never for
// a time.
func TestStartIsOrderedByReadiness(t *testing.T) {
	checked := imagesWithHealth(t)
	each(t, func(t *testing.T, c combination, all project, started map[string]service) {
		for name, s := range started {
			assert.NotContains(t, strings.Join(append(s.Command, s.Health), " "), "sleep", name)
			if s.serves() {
				assert.Equal(t, "unless-stopped", s.Restart, name)
				_, program, _ := strings.Cut(s.Image, "/")
				program, _, _ = strings.Cut(program, ":")
				assert.True(t, s.Health != "" && s.Health != "NONE" || s.Health == "" && checked[program], "%s has no health check", name)
			} else {
				assert.Equal(t, "NONE", s.Health, "%s ends by itself: nobody may ask how it is", name)
			}
			for other, condition := range s.DependsOn {
				on, ok := all.Services[other]
				require.True(t, ok, "%s waits for %s", name, other)
				want := "service_completed_successfully"
				if on.serves() {
					want = "service_healthy"
				}
				assert.Equal(t, want, condition, "%s waits for %s", name, other)
			}
			before := ancestors(started, name)
			assert.NotContains(t, before, name, "a circle")
			if needs := s.databases(); len(needs) > 0 {
				assert.Contains(t, before, "passwords", name)
				if !c.has("postgres") {
					assert.Contains(t, before, "postgres", name)
				}
			}
			if url := s.Environment["OAK_ROOT_URL"]; c.base == "1-DOC.yaml" && url != "" && s.serves() {
				assert.Contains(t, before, "cluster-token", name)
				assert.True(t, slices.Contains(before, "root") || slices.Contains(before, "root-host"), name)
			}
			if b := s.Environment["OAK_BROKER"]; strings.HasPrefix(b, "mosquitto:") {
				assert.Contains(t, before, "mosquitto", name)
			}
		}
	})
}

// databases are the URLs of databases that a service is told.
func (s service) databases() (urls []string) {
	for key, value := range s.Environment {
		if strings.HasSuffix(key, "_DATABASE") {
			urls = append(urls, value)
		}
	}
	return urls
}

// ancestors are all that a service waits for, and that what it waits for does.
func ancestors(all map[string]service, name string) (names []string) {
	queue := slices.Collect(maps.Keys(all[name].DependsOn))
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if _, ok := all[next]; !ok || slices.Contains(names, next) {
			continue
		}
		names = append(names, next)
		queue = append(queue, slices.Collect(maps.Keys(all[next].DependsOn))...)
	}
	return names
}

// imagesWithHealth are the stages of the Dockerfile, and whether each brings along a health check.
func imagesWithHealth(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	out, stage := map[string]bool{}, ""
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 4 && words[0] == "FROM" && words[2] == "AS":
			stage = words[3]
			out[stage] = out[words[1]]
		case len(words) > 1 && words[0] == "HEALTHCHECK":
			out[stage] = words[1] != "NONE"
		}
	}
	require.True(t, out["root-orchestrator"] && out["cluster-orchestrator"])
	return out
}

// TestOnlyWhatUsersNeedIsPublished and nothing of it twice.
func TestOnlyWhatUsersNeedIsPublished(t *testing.T) {
	root, cluster := []string{"10000:10000/tcp"}, []string{"10003:10003/tcp", "10003:10003/udp", "10100:10100/tcp", "10100:10100/udp"}
	each(t, func(t *testing.T, c combination, _ project, started map[string]service) {
		want := map[string][]string{
			"1-DOC.yaml": slices.Concat(root, cluster), "root-orchestrator.yaml": root, "cluster-orchestrator.yaml": cluster,
		}[c.base]
		if c.onHost() {
			want = nil
		}
		if c.has("mosquitto") {
			want = append(slices.Clone(want), "8883:8883/tcp")
		}
		var got []string
		for name, s := range started {
			got = append(got, s.Ports...)
			if s.NetworkMode != "" {
				assert.Equal(t, "host", s.NetworkMode, name)
				assert.Contains(t, []string{"root-host", "cluster-host"}, name)
				assert.Empty(t, s.Ports, "docker-compose 1.29 refuses both: %s", name)
			}
		}
		assert.ElementsMatch(t, want, got)
	})
}

// TestDataIsInNamedVolumes: what is written outlives `down`, and what is of the machine is named in README.md.
func TestDataIsInNamedVolumes(t *testing.T) {
	own, err := filepath.Abs("postgres/cluster.sql")
	require.NoError(t, err)
	ofTheMachine := []string{
		"/etc/oakestra:/etc/oakestra", own + ":/docker-entrypoint-initdb.d/cluster.sql:ro", "/etc/oakestra/cluster.token:/token:ro",
		"/etc/oakestra/database.password:/given:ro", "/etc/ssl/oakestra:/tls:ro",
	}
	each(t, func(t *testing.T, _ combination, all project, started map[string]service) {
		written := map[string]string{}
		for name, s := range started {
			for _, v := range s.Volumes {
				source, rest, _ := strings.Cut(v, ":")
				if strings.HasPrefix(source, "/") {
					assert.Contains(t, ofTheMachine, v, name)
					continue
				}
				assert.Contains(t, all.Volumes, source, "%s: a volume without a name would be lost", name)
				if target, readOnly := strings.CutSuffix(rest, ":ro"); !readOnly {
					written[target] = source
				}
			}
		}
		for name, s := range started {
			switch {
			case name == "postgres":
				assert.Equal(t, "postgres", written[filepath.Dir(s.Environment["PGDATA"])])
			case s.Environment["OAK_ROOT_SECRETS_KEY_FILE"] != "" && s.serves():
				assert.Equal(t, "root", written[filepath.Dir(s.Environment["OAK_ROOT_SECRETS_KEY_FILE"])])
			}
		}
	})
}

// TestNoSecretIsInAFile: passwords, keys and tokens are made at the first start and handed over in files of volumes.
func TestNoSecretIsInAFile(t *testing.T) {
	secret := regexp.MustCompile(`(?i)password|secret|token|key`)
	each(t, func(t *testing.T, _ combination, _ project, started map[string]service) {
		for name, s := range started {
			for key, value := range s.Environment {
				// Commands share the variables of what they are commands of, and read but few.
				if secret.MatchString(key) {
					assert.Regexp(t, `_FILE$`, key, name)
					assert.True(t, !s.serves() || s.mounts(value), "%s: %s=%s is in none of its volumes", name, key, value)
				}
				assert.NotRegexp(t, `://[^/@]*:[^/@]*@`, value, "%s: %s has a password in it", name, key)
			}
		}
	})
	names, err := filepath.Glob("*.yaml")
	require.NoError(t, err)
	require.Len(t, names, 11, "what is new is to be looked at here")
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.NotRegexp(t, `oak1\.|BEGIN [A-Z ]*PRIVATE KEY|://[^/@\s]*:[^/@\s{}]*@|[A-Z2-7]{32}|[0-9a-f]{40}`, string(text), name)
	}
}

// mounts reports whether a path is in one of the service's volumes.
func (s service) mounts(path string) bool {
	return slices.ContainsFunc(s.Volumes, func(v string) bool {
		target := strings.Split(v, ":")[1]
		return path == target || strings.HasPrefix(path, target+"/")
	})
}

// TestImagesAreThoseThatThereAre: those of the Dockerfile, Postgres, and where it is asked for mosquitto.
func TestImagesAreThoseThatThereAre(t *testing.T) {
	stages := imagesWithHealth(t)
	each(t, func(t *testing.T, c combination, _ project, started map[string]service) {
		for name, s := range started {
			switch {
			case name == "postgres":
				assert.Equal(t, "postgres:16-alpine", s.Image)
			case name == "mosquitto" && c.has("mosquitto"):
				assert.Equal(t, "eclipse-mosquitto:2", s.Image)
			default:
				program, ok := strings.CutPrefix(s.Image, "oakestra/")
				program, tagged := strings.CutSuffix(program, ":latest")
				assert.True(t, ok && tagged, "%s: %s", name, s.Image)
				assert.Contains(t, stages, program, name)
			}
		}
	})
}

// TestProgramsKnowWhatTheyAreTold: a variable that no flag reads, or a command that there is none of, would go unnoticed until somebody needs it.
func TestProgramsKnowWhatTheyAreTold(t *testing.T) {
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "../cmd/root-orchestrator", "../cmd/cluster-orchestrator")
	text, err := build.CombinedOutput()
	require.NoError(t, err, string(text))
	help := map[string]string{}
	each(t, func(t *testing.T, _ combination, _ project, started map[string]service) {
		for name, s := range started {
			program, ours := strings.CutPrefix(s.Image, "oakestra/")
			if !ours {
				continue
			}
			program, _, _ = strings.Cut(program, ":")
			line := program + " " + strings.Join(s.Command, " ")
			if help[line] == "" {
				text, err := exec.CommandContext(t.Context(), filepath.Join(dir, program), append(slices.Clone(s.Command), "--help")...).CombinedOutput() //nolint:gosec // as just built
				require.NoError(t, err, string(text))
				help[line] = string(text)
			}
			if s.serves() {
				// It may be run for its command as well, which then knows at which address others reach it.
				of := program + " token create"
				if help[of] == "" {
					text, err := exec.CommandContext(t.Context(), filepath.Join(dir, program), "token", "create", "--help").CombinedOutput() //nolint:gosec // as just built
					require.NoError(t, err, string(text))
					help[of] = string(text)
				}
				prefix := map[string]string{"root-orchestrator": "OAK_ROOT_", "cluster-orchestrator": "OAK_"}[program]
				for key := range s.Environment {
					flag := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(key, prefix), "_", "-"))
					assert.Contains(t, help[line]+help[of], " "+flag+" ", "%s: %s", name, key)
				}
			} else {
				assert.Contains(t, help[line], strings.Join(append([]string{program}, commandOf(s.Command)...), " ")+" [flags]", name)
			}
		}
	})
}

// commandOf are the words before the flags.
func commandOf(words []string) []string {
	if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") }); i >= 0 {
		return words[:i]
	}
	return words
}

// containerName is what Docker takes for a container's name.
var containerName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// TestMissingClusterNameIsNamed: without what has to be exported all files of a composition are read, so that `down` and `logs` work, but nothing starts:
// what all wait for has a name that Docker does not take, and that says what is missing.
func TestMissingClusterNameIsNamed(t *testing.T) {
	for _, files := range [][]string{
		{"1-DOC.yaml"}, {"1-DOC.yaml", "override-host-1-DOC.yaml"}, {"cluster-orchestrator.yaml"}, {"cluster-orchestrator.yaml", "override-host-cluster.yaml"},
	} {
		require.Regexp(t, containerName, byComposeGo(t, files, environment()).Services["passwords"].Name)
		p := byComposeGo(t, files, nil)
		name := p.Services["passwords"].Name
		require.NotRegexp(t, containerName, name)
		require.Contains(t, name, "export CLUSTER_NAME")
		for other, s := range p.Services {
			if other != "passwords" && s.Scale != 0 {
				require.Contains(t, ancestors(p.Services, other), "passwords", other)
			}
		}
		if files[0] == "cluster-orchestrator.yaml" {
			require.Contains(t, name, "SYSTEM_MANAGER_URL")
		}
	}
}

// TestMissingRootIsNamed by the cluster orchestrator, where the cluster's name is there.
func TestMissingRootIsNamed(t *testing.T) {
	program := filepath.Join(t.TempDir(), "cluster-orchestrator")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/cluster-orchestrator").CombinedOutput()
	require.NoError(t, err, string(text))
	env := environment()
	delete(env, "SYSTEM_MANAGER_URL")
	for name, files := range map[string][]string{"cluster": {"cluster-orchestrator.yaml"}, "cluster-host": {"cluster-orchestrator.yaml", "override-host-cluster.yaml"}} {
		s := byComposeGo(t, files, env).Services[name]
		cmd := exec.CommandContext(t.Context(), program) //nolint:gosec // as just built
		for key, value := range s.Environment {
			if key != "OAK_DATABASE_PASSWORD_FILE" { // of a volume
				cmd.Env = append(cmd.Env, key+"="+value)
			}
		}
		text, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(text), "SYSTEM_MANAGER_URL is missing")
	}
}

// TestWhatOverridesMissIsNamed: without what they need, files with an override cannot be read, and the message says what it is.
func TestWhatOverridesMissIsNamed(t *testing.T) {
	for _, c := range []struct {
		files []string
		names []string
	}{
		{[]string{"root-orchestrator.yaml", "override-postgres.yaml"}, []string{"DATABASE_HOST", "DATABASE_OPTIONS", "DATABASE_PASSWORD_FILE"}},
		{[]string{"root-orchestrator.yaml", "override-tls.yaml"}, []string{"ROOT_TLS_DIR"}},
		{[]string{"cluster-orchestrator.yaml", "override-broker.yaml"}, []string{"BROKER"}},
	} {
		for _, name := range c.names {
			env := databaseEnvironment()
			delete(env, name)
			require.ErrorContains(t, refusal(t, c.files, env), name)
		}
		require.NoError(t, refusal(t, c.files, databaseEnvironment()))
	}
}
