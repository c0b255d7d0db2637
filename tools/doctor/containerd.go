// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	introspection "github.com/containerd/containerd/api/services/introspection/v1"
	version "github.com/containerd/containerd/api/services/version/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// containerdTimeout bounds a question to containerd, which answers in milliseconds or not at all.
const containerdTimeout = 4 * time.Second

// leastContainerd is the version from which on it is tested.
const leastContainerd = "1.6"

// snapshotterType is what containerd calls its plugins that keep images' layers. NodeEngine takes the first of these that works.
const (
	snapshotterType = "io.containerd.snapshotter.v1"
	preferred       = "overlayfs"
	instead         = "native"
)

// engine is what containerd says of itself.
type engine struct {
	version string
	// root is its folder of images; "" if it does not tell. snapshotter says why none can be used; "" if one can.
	root, snapshotter string
}

func askContainerd(ctx context.Context, socket string) (engine, error) {
	if _, err := os.Stat(socket); err != nil {
		return engine{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, containerdTimeout)
	defer cancel()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return engine{}, err
	}
	defer func() { _ = conn.Close() }()
	v, err := version.NewVersionClient(conn).Version(ctx, &emptypb.Empty{})
	if grpcstatus.Code(err) == codes.DeadlineExceeded {
		return engine{}, fmt.Errorf("no answer within %s", containerdTimeout)
	}
	if err != nil {
		text := grpcstatus.Convert(err).Message() // connection error: desc = "transport: Error while dialing: dial unix …"
		if _, cause, ok := strings.Cut(text, "while dialing: "); ok {
			text = strings.TrimSuffix(cause, `"`)
		}
		return engine{}, errors.New(text)
	}
	e := engine{version: strings.TrimPrefix(v.GetVersion(), "v")}
	plugins, err := introspection.NewIntrospectionClient(conn).Plugins(ctx, &introspection.PluginsRequest{Filters: []string{"type==" + snapshotterType}})
	if err != nil {
		return e, nil //nolint:nilerr // it is there; the rest is an extra
	}
	e.snapshotter = "it has neither " + preferred + " nor " + instead
	works := false
	for _, p := range plugins.GetPlugins() {
		if p.GetID() != preferred && p.GetID() != instead {
			continue
		}
		if why := p.GetInitErr().GetMessage(); why == "" {
			works = true
		} else if !works {
			e.snapshotter = p.GetID() + ": " + why
		}
		if root := p.GetExports()["root"]; root != "" {
			e.root = filepath.Dir(root) // /var/lib/containerd of /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs
		}
	}
	if works {
		e.snapshotter = ""
	}
	return e, nil
}

func checkContainerd(ctx context.Context, m *machine, c *collector) {
	socket := m.containerd()
	e, err := askContainerd(ctx, socket)
	values := fill{"socket", socket}
	switch {
	case errors.Is(err, os.ErrPermission) && os.Geteuid() != 0:
		c.skip("%v", err)
	case err != nil:
		c.found("containerd-unreachable", values, "containerd does not answer at %s: %s", socket, firstLine(err.Error()))
	case older(e.version, leastContainerd):
		c.found("containerd-old", values, "containerd at %s is version %s, older than %s", socket, e.version, leastContainerd)
	case e.snapshotter != "":
		c.found("containerd-snapshotter", values, "containerd at %s has no snapshotter that works: %s", socket, firstLine(e.snapshotter))
	default:
		c.note("version %s answers at %s", e.version, socket)
	}
}

// Bounds of what has to be free. Files of state are small; an image is unpacked before its archive goes.
const (
	leastState  = 64 << 20
	leastImages = 512 << 20
	leastInodes = 1000
)

func checkDisk(ctx context.Context, m *machine, c *collector) {
	type place struct {
		what, path string
		least      uint64
	}
	places := map[Role][]place{
		Root:    {{"root's state", filepath.Dir(m.own.get("secrets-key-file", "", "/var/lib/oakestra/root/secrets.key")), leastState}},
		Cluster: {{"the cluster's state", m.own.get("state-dir", "", "/var/lib/oakestra"), leastState}},
	}[m.role]
	if m.role == Worker {
		places = []place{{"NodeEngine's state", m.stateDir(), leastState}, {"NetManager's state", m.netStateDir(), leastState}}
		if e, err := askContainerd(ctx, m.containerd()); err == nil && e.root != "" {
			places = append(places, place{"containerd's images", e.root, leastImages})
		}
	}
	for _, p := range places {
		dir := firstFolder(p.path)
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			c.note("%s: %v", p.path, err)
			continue
		}
		free := fs.Bavail * uint64(fs.Bsize)
		values := fill{"path", dir, "mib", fmt.Sprint(p.least >> 20)}
		switch {
		case fs.Flags&unix.ST_RDONLY != 0:
			c.found("disk-read-only", values, "the file system of %s (%s) is mounted read-only", dir, p.what)
		case free < p.least:
			c.found("disk-full", values, "%d MiB are free in %s (%s), of %d", free>>20, dir, p.what, fs.Blocks*uint64(fs.Bsize)>>20)
		case fs.Files > 0 && fs.Ffree < leastInodes: // some file systems count none
			c.found("inodes-out", values, "%d inodes are free in %s (%s), of %d", fs.Ffree, dir, p.what, fs.Files)
		default:
			c.note("%d MiB are free in %s", free>>20, dir)
		}
	}
}
