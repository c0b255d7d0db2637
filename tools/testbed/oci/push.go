// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push makes an image of dir, see [FromDir], pushes it to registry, HOST:PORT, under the given name, and returns the whole
// reference for a descriptor. A name without a tag gets "latest".
func Push(ctx context.Context, registry, image, dir string, cmd []string) (string, error) {
	ref, err := name.NewTag(registry+"/"+image, name.Insecure)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", image, err)
	}
	img, err := FromDir(dir, cmd)
	if err != nil {
		return "", err
	}
	direct := &http.Transport{DisableKeepAlives: true} // never through the proxy of the user's shell
	if err := remote.Write(ref, img, remote.WithContext(ctx), remote.WithTransport(direct)); err != nil {
		return "", fmt.Errorf("push image %s: %w", ref, err)
	}
	return ref.Name(), nil
}
