// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"errors"
	"net"
	"net/http"
	"strings"

	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// errPlatform is the cause for an image that does not run on this machine.
var errPlatform = errors.New("no match for platform")

// imageError names the way out of what went wrong with a pull.
func imageError(image, registry string, err error) error {
	return &runtime.ImageError{Image: image, Registry: registry, Err: err, WayOut: wayOut(registry, err)}
}

func wayOut(registry string, err error) string {
	var status remoteerrors.ErrUnexpectedStatus
	var dial *net.OpError
	var dns *net.DNSError
	text := err.Error()
	switch {
	case errors.Is(err, errStalled):
		return "see whether the registry and the way to it are well; the pull is tried again and goes on where it was"
	case strings.Contains(text, errPlatform.Error()):
		return "the image was not built for this worker's architecture: build it for it, or name another in the descriptor's arch or platform"
	case errdefs.IsNotFound(err):
		return "check name and tag, and that the image was pushed"
	case errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden),
		errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err), strings.Contains(text, "authorization failed"):
		return "the registry wants credentials: make the image public or use a registry that needs none"
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "the registry speaks plain HTTP: start NodeEngine with --insecure-registry " + registry
	case strings.Contains(text, "x509:"), strings.Contains(text, "tls:"):
		return "add the registry's certificate authority to the worker's trusted ones, or start NodeEngine with --insecure-registry " + registry
	case errors.As(err, &dns):
		return "the worker cannot resolve the registry's name: check the name and the worker's DNS"
	case errors.As(err, &dial):
		return "the worker cannot reach the registry: check that it runs and that the network lets the worker through"
	default:
		return "see the worker's log; the pull is tried again"
	}
}
