// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/walk/bases"
)

// standsFor says which images of the bases are what a user would pull, by the names in Dockerfile, compositions and descriptor.
var standsFor = map[string]string{
	"golang":   "golang:1.26-bookworm",
	"postgres": "postgres:16-alpine",
	"nginx":    "docker.io/library/nginx:latest",
	"curl":     "docker.io/curlimages/curl:7.82.0",
}

// programs are what the top-level Dockerfile builds.
var programs = []string{"./orchestrators/cmd/root-orchestrator", "./orchestrators/cmd/cluster-orchestrator", "./nodeengine/cmd/NodeEngine",
	"./dataplane/cmd/NetManager", "./tools/cmd/oak", "./tools/cmd/oak-net"}

// bases builds the base images on a device that can pull none, and publishes the sample application's.
func (w *world) bases(name string) {
	t := w.t
	t.Helper()
	start := time.Now()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	dir := filepath.Join(w.dir, "bases")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, bases.Prepare(t.Context(), dir, "../..", filepath.Join(cache, "oakestra", "bases"), self+" "+serveGoCache, programs...))
	w.took("base images prepared", start)
	start = time.Now()
	context, err := w.devices[name].File("/tmp/bases")
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(context, 0o755))
	// Into the device's memory: it is read once.
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, copyFile(filepath.Join(dir, e.Name()), filepath.Join(context, e.Name())))
	}
	require.NoError(t, os.RemoveAll(dir))
	for _, target := range bases.Images { // the first one makes what all have in common
		w.on(name, 5*time.Minute, "DOCKER_BUILDKIT=1 docker build -q --network none --target "+target+" -t "+standsFor[target]+" /tmp/bases")
	}
	w.on(name, time.Minute, "rm -rf /tmp/bases")
	w.took("base images built", start)
	w.publishSample(name)
	w.took("sample images published", start)
}

// publishSample moves the sample application's images from a device to where all can pull them.
func (w *world) publishSample(name string) {
	t := w.t
	t.Helper()
	for _, target := range []string{"nginx", "curl"} {
		w.on(name, time.Minute, "docker save -o /tmp/"+target+".tar "+standsFor[target]+" && docker rmi "+standsFor[target])
		file, err := w.devices[name].File("/tmp/" + target + ".tar")
		require.NoError(t, err)
		img, err := tarball.ImageFromPath(file, nil)
		require.NoError(t, err)
		require.NoError(t, w.hub.Publish(t.Context(), standsFor[target], img))
		w.on(name, time.Minute, "rm /tmp/"+target+".tar")
	}
}
