// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"path"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// proxy stands between NodeEngine and containerd and can have something done after any call that changes something, before NodeEngine
// hears of the answer.
type proxy struct {
	socket string
	up     *grpc.ClientConn

	mu    sync.Mutex
	calls []string // that changed something, since armed
	at    int      // the call after which done is called; 0 for none
	done  func()
}

// raw carries messages as they are.
type raw struct{}

func (raw) Name() string                       { return "proto" }
func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (p *proxy) arm(at int, done func()) {
	p.mu.Lock()
	p.calls, p.at, p.done = nil, at, done
	p.mu.Unlock()
}
func (p *proxy) seen() []string { p.mu.Lock(); defer p.mu.Unlock(); return p.calls }
func changes(method string) bool {
	name := path.Base(method)
	for _, reads := range []string{"Get", "List", "Status", "Info", "Stat", "Wait", "Plugins", "Version", "Metrics", "Read", "Mounts", "Usage",
		"Connect", "State", "Subscribe", "Server", "ListPids"} {
		if strings.HasPrefix(name, reads) {
			return false
		}
	}
	return true
}

func newProxy(t *testing.T, socket, upstream string) *proxy {
	t.Helper()
	up, err := grpc.NewClient("unix://"+upstream, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{socket: socket, up: up}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(p.handle))
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { srv.Stop(); _ = up.Close() })
	return p
}

// handle passes one call on, in both directions.
func (p *proxy) handle(_ any, down grpc.ServerStream) error {
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	method, _ := grpc.MethodFromServerStream(down)
	md, _ := metadata.FromIncomingContext(ctx)
	up, err := p.up.NewStream(metadata.NewOutgoingContext(ctx, md.Copy()), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodec(raw{}))
	if err != nil {
		return err
	}
	go func() {
		for {
			var m []byte
			if err := down.RecvMsg(&m); err != nil {
				if errors.Is(err, io.EOF) {
					_ = up.CloseSend()
				} else {
					cancel()
				}
				return
			}
			if up.SendMsg(&m) != nil {
				return
			}
		}
	}()
	for first := true; ; first = false {
		var m []byte
		err := up.RecvMsg(&m)
		if first && err == nil && changes(method) {
			p.note(path.Base(path.Dir(method)) + "/" + path.Base(method))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := down.SendMsg(&m); err != nil {
			return err
		}
	}
}

// note counts a call that was carried out.
func (p *proxy) note(call string) {
	p.mu.Lock()
	p.calls = append(p.calls, call)
	var done func()
	if len(p.calls) == p.at {
		done = p.done
	}
	p.mu.Unlock()
	if done != nil {
		done()
	}
}
