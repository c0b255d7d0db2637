// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// Pull makes the image present and unpacked. An image that is there under the same reference is used as it is.
// Several pulls of one image at a time are one.
func (r *Runtime) Pull(ctx context.Context, spec wire.InstanceSpec) error {
	ref, err := parseReference(spec.Image)
	if err != nil {
		return err
	}
	if _, err := r.image(ctx, spec); err == nil {
		return nil
	} else if !errdefs.IsNotFound(err) {
		return err
	}
	same := ref.String() + " " + spec.Platform
	if c := spec.RegistryCredentials; c != nil { // who has no credentials does not profit from another's
		same += fmt.Sprintf(" %s/%s/%d", spec.Organization, c.Name, c.Version)
	}
	ch := r.pulls.DoChan(same, func() (any, error) {
		// The pull goes on for others when one that waits gives up.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lifecycle.PullWithin)
		defer cancel()
		return nil, r.pull(ctx, ref, spec)
	})
	select {
	case res := <-ch:
		return res.Err
	case <-ctx.Done():
		return fmt.Errorf("pull %s: %w", ref, ctx.Err())
	}
}

func (r *Runtime) pull(ctx context.Context, ref reference.Named, spec wire.InstanceSpec) error {
	began := time.Now()
	login, err := r.login(ctx, &spec)
	if err != nil {
		return err
	}
	var seen progress
	ctx, cancel := seen.guard(ctx, r.opts.PullStall)
	defer cancel()
	opts := []client.RemoteOpt{
		client.WithPullUnpack,
		client.WithPullSnapshotter(r.snapshotter),
		client.WithResolver(docker.NewResolver(docker.ResolverOptions{Hosts: r.registryHosts(login, &seen)})),
	}
	if spec.Platform != "" {
		opts = append(opts, client.WithPlatform(spec.Platform))
	}
	if _, err := r.client.Pull(ctx, ref.String(), opts...); err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
			err = fmt.Errorf("%w (%s)", cause, r.opts.PullStall) // what came of it says less
		}
		return imageError(spec.Image, reference.Domain(ref), err)
	}
	if _, err := r.image(ctx, spec); err != nil {
		return err
	}
	r.opts.Log.Info("image pulled", "image", ref.String(), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// registryHosts says how a registry is reached: over TLS, save for those that the operator named.
func (r *Runtime) registryHosts(login *wire.RegistryLogin, seen *progress) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) { return r.registryHost(host, login, seen) }
}

func (r *Runtime) registryHost(host string, login *wire.RegistryLogin, seen *progress) ([]docker.RegistryHost, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		IdleConnTimeout:       30 * time.Second,
	}
	through := &http.Client{Transport: seen.through(transport)}
	opts := []docker.RegistryOpt{
		docker.WithClient(through),
		docker.WithPlainHTTP(func(h string) (bool, error) { return slices.Contains(r.opts.InsecureRegistries, h), nil }),
	}
	if slices.Contains(r.opts.InsecureRegistries, host) {
		transport.Proxy = nil // a registry named so is near
	}
	if login != nil {
		opts = append(opts, docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthClient(through), credentials(login))))
	}
	return docker.ConfigureDefaultRegistries(opts...)(host)
}

// image returns the image of spec, unpacked; it does not go to any registry.
func (r *Runtime) image(ctx context.Context, spec wire.InstanceSpec) (client.Image, error) {
	ref, err := parseReference(spec.Image)
	if err != nil {
		return nil, err
	}
	meta, err := r.client.ImageService().Get(ctx, ref.String())
	if err != nil {
		return nil, err
	}
	image := client.NewImage(r.client, meta)
	if spec.Platform != "" {
		p, err := platforms.Parse(spec.Platform)
		if err != nil {
			return nil, &runtime.ImageError{Image: spec.Image, Err: err, WayOut: "write the platform as OS/ARCHITECTURE, such as linux/arm64"}
		}
		image = client.NewImageWithPlatform(r.client, meta, platforms.Only(p))
	}
	if err := checkArchitecture(ctx, image, spec); err != nil {
		return nil, err
	}
	unpacked, err := image.IsUnpacked(ctx, r.snapshotter)
	if err != nil {
		return nil, err
	}
	if !unpacked {
		if err := image.Unpack(ctx, r.snapshotter); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// checkArchitecture refuses an image of one architecture only that is not this machine's: containerd would run it, and the
// program would end at once with "exec format error". Who names a platform means it.
func checkArchitecture(ctx context.Context, image client.Image, spec wire.InstanceSpec) error {
	if spec.Platform != "" {
		return nil
	}
	config, err := image.Spec(ctx)
	if err != nil {
		return imageError(spec.Image, "", err)
	}
	if config.Architecture == "" || platforms.Default().Match(config.Platform) {
		return nil
	}
	return imageError(spec.Image, "", fmt.Errorf("%w: it is for %s, the worker is %s", errPlatform, platforms.Format(config.Platform), platforms.DefaultString()))
}

// parseReference reads an image as people write it: "nginx" is docker.io/library/nginx:latest.
func parseReference(image string) (reference.Named, error) {
	ref, err := reference.ParseDockerRef(image)
	if err != nil {
		return nil, &runtime.ImageError{Image: image, Err: err, WayOut: "write it as REGISTRY/NAME:TAG in the descriptor's code"}
	}
	return ref, nil
}
