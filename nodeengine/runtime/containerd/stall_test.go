// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/images"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// testStall pulls from a registry that sends one byte of each blob and then nothing, until it is mended.
func testStall(t *testing.T, g *rig) {
	upstream, err := url.Parse("http://" + g.registry)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	var mended atomic.Bool
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if mended.Load() || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			r.Header.Del("Range") // of a blob whose first byte is there already: the registry of these tests knows no range without an end
			proxy.ServeHTTP(w, r)
			return
		}
		_, _ = w.Write([]byte{'{'})
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer registry.Close()
	host := registry.Listener.Addr().String()
	g.opts.InsecureRegistries, g.opts.PullStall = append(g.opts.InsecureRegistries, host), 300*time.Millisecond
	in := g.instance(50)
	in.Spec.Image = strings.Replace(g.image, g.registry, host, 1)
	// What other tests have pulled of the same content is asked for no more: the blobs must be another store's.
	g.forgetContent()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	err = g.Pull(ctx, in.Spec)
	var ie *runtime.ImageError
	if !errors.As(err, &ie) || !strings.Contains(err.Error(), "sent nothing for too long (300ms)") {
		t.Fatalf("a pull that stalls: %v", err)
	}
	mended.Store(true)
	if err := g.Pull(ctx, in.Spec); err != nil {
		t.Errorf("after the registry was mended: %v", err)
	}
}

// forgetContent removes all images with their content.
func (g *rig) forgetContent() {
	g.t.Helper()
	list, err := g.client.ListImages(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	for _, i := range list {
		if err := g.client.ImageService().Delete(g.t.Context(), i.Name(), images.SynchronousDelete()); err != nil {
			g.t.Fatal(err)
		}
	}
}
