// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// Secrets gets the values of secrets.
type Secrets interface {
	Value(ctx context.Context, organization string, ref wire.SecretRef) ([]byte, error)
}

// secretsSize bounds the file system in memory that holds secrets' values.
const secretsSize = "64m"

// secretsDir holds the values that container id gets as files, in memory only.
func (r *Runtime) secretsDir(id string) string { return filepath.Join(r.opts.RunDir, "secrets", id) }

// secret returns the value of one secret of an instance.
func (r *Runtime) secret(ctx context.Context, spec *wire.InstanceSpec, ref wire.SecretRef) ([]byte, error) {
	if r.opts.Secrets == nil {
		return nil, fmt.Errorf("get secret %s: this worker has nobody to ask for secrets", ref.Name)
	}
	return r.opts.Secrets.Value(ctx, spec.Organization, ref)
}

// secretFiles writes the secrets that an instance gets as files and returns their mounts.
func (r *Runtime) secretFiles(ctx context.Context, in runtime.Instance) ([]specs.Mount, error) {
	var mounts []specs.Mount
	dir := r.secretsDir(in.ID())
	for n, ref := range in.Spec.Secrets {
		if ref.File == "" {
			continue
		}
		value, err := r.secret(ctx, &in.Spec, ref)
		if err != nil {
			return nil, err
		}
		if len(mounts) == 0 {
			if err := inMemory(filepath.Dir(dir)); err != nil {
				return nil, err
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, fmt.Errorf("hand over secrets: %w", err)
			}
		}
		path := filepath.Join(dir, strconv.Itoa(n))
		// Everybody in the container may read it; on the host the folder keeps others out.
		if err := os.WriteFile(path, value, 0o444); err != nil { //nolint:gosec // see above
			return nil, fmt.Errorf("hand over secret %s: %w", ref.Name, err)
		}
		mounts = append(mounts, specs.Mount{Destination: ref.File, Type: "bind", Source: path, Options: []string{"rbind", "ro", "nosuid", "nodev", "noexec"}})
	}
	return mounts, nil
}

// inMemory makes a folder on a file system that is never written to a disk.
func inMemory(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("hand over secrets: %w", err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("hand over secrets: look at %s: %w", dir, err)
	}
	if magic := uint32(fs.Type); magic == unix.TMPFS_MAGIC || magic == unix.RAMFS_MAGIC { //nolint:gosec // of 32 bits, whatever holds it
		return nil
	}
	if err := unix.Mount("oakestra-secrets", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700,size="+secretsSize); err != nil {
		return fmt.Errorf("hand over secrets: mount a file system in memory on %s: %w", dir, err)
	}
	return nil
}

// secretEnv returns the secrets that an instance gets as variables.
func (r *Runtime) secretEnv(ctx context.Context, spec *wire.InstanceSpec) ([]string, error) {
	var env []string
	for _, ref := range spec.Secrets {
		if ref.Env == "" {
			continue
		}
		value, err := r.secret(ctx, spec, ref)
		if err != nil {
			return nil, err
		}
		if bytes.IndexByte(value, 0) >= 0 {
			return nil, fmt.Errorf("hand over secret %s: it holds a NUL, which no variable can: have it handed over as a file", ref.Name)
		}
		env = append(env, ref.Env+"="+string(value))
	}
	return env, nil
}

// withEnv returns a process with further variables, in place of those of the same names.
func withEnv(p specs.Process, env []string) *specs.Process {
	p.Env = slices.DeleteFunc(slices.Clone(p.Env), func(have string) bool {
		key, _, _ := strings.Cut(have, "=")
		return slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, key+"=") })
	})
	p.Env = append(p.Env, env...)
	return &p
}

// ownProcess returns the process of a container as it was started: with its secrets, which the container's own record lacks.
func (r *Runtime) ownProcess(ctx context.Context, c client.Container) (*specs.Process, error) {
	info, err := c.Info(ctx, client.WithoutRefreshedMetadata)
	if err != nil {
		return nil, err
	}
	spec, err := c.Spec(ctx)
	if err != nil {
		return nil, fmt.Errorf("read specification of %s: %w", c.ID(), err)
	}
	in, err := decodeInstance(info)
	if err != nil {
		return nil, err
	}
	env, err := r.secretEnv(ctx, &in.Spec)
	if err != nil {
		return nil, err
	}
	return withEnv(*spec.Process, env), nil
}

// newTask makes the task of a container. Variables that hold secrets are in the container's record only while that happens: containerd
// keeps it on disk.
func (r *Runtime) newTask(ctx context.Context, c client.Container, in runtime.Instance) error {
	env, err := r.secretEnv(ctx, &in.Spec)
	if err != nil {
		return err
	}
	if len(env) == 0 {
		_, err := c.NewTask(ctx, cio.LogFile(r.logPath(c.ID())))
		return err
	}
	bare, err := c.Spec(ctx)
	if err != nil {
		return err
	}
	full := *bare
	full.Process = withEnv(*bare.Process, env)
	if err := c.Update(ctx, setSpec(&full)); err != nil {
		return err
	}
	_, err = c.NewTask(ctx, cio.LogFile(r.logPath(c.ID())))
	// Whatever came of it, and although ctx may have ended.
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), executeEnd)
	defer cancel()
	return errors.Join(err, c.Update(after, setSpec(bare)))
}

func setSpec(spec *oci.Spec) client.UpdateContainerOpts {
	return func(_ context.Context, _ *client.Client, c *containers.Container) (err error) {
		c.Spec, err = typeurl.MarshalAny(spec)
		return err
	}
}

// dockerHub is what people call the registry that answers as dockerHubHost.
const (
	dockerHub     = "docker.io"
	dockerHubHost = "registry-1.docker.io"
)

// login returns how an image's registry is opened; nil if the descriptor does not say.
func (r *Runtime) login(ctx context.Context, spec *wire.InstanceSpec) (*wire.RegistryLogin, error) {
	if spec.RegistryCredentials == nil {
		return nil, nil
	}
	value, err := r.secret(ctx, spec, *spec.RegistryCredentials)
	if err != nil {
		return nil, err
	}
	var l wire.RegistryLogin
	if json.Unmarshal(value, &l) != nil || l.Server == "" {
		return nil, fmt.Errorf("secret %s holds no registry credentials", spec.RegistryCredentials.Name)
	}
	return &l, nil
}

// credentials tells a registry's name and password to that registry alone.
func credentials(l *wire.RegistryLogin) docker.AuthorizerOpt {
	return docker.WithAuthCreds(func(host string) (string, string, error) {
		if host == dockerHubHost {
			host = dockerHub
		}
		if l.Server == dockerHubHost || l.Server == "index."+dockerHub {
			return forHost(host, dockerHub, l)
		}
		return forHost(host, l.Server, l)
	})
}

func forHost(host, server string, l *wire.RegistryLogin) (string, string, error) {
	if host != server {
		return "", "", nil
	}
	return l.Username, l.Password, nil
}
