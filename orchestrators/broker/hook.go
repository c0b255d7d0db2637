// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/oakestra/oakestra-ebpf/control/pki"
)

// maxUnacknowledged is how many messages may wait for one client's acknowledgement. A client that passes it is dropped and
// connects anew, upon which it is sent everything: better than to lose one message unnoticed.
const maxUnacknowledged = 4096

// maxKeepalive in seconds bounds how long a vanished client stays unnoticed; a client that asks for none gets this one.
const maxKeepalive = 60

// maxSubscriptions of one client are several times what it needs.
const maxSubscriptions = 64

// mqtt311 is the protocol level of MQTT 3.1.1.
const mqtt311 = 4

var (
	errSlow   = errors.New("too many messages wait for this client: it reads too slowly")
	errGreedy = errors.New("too many subscriptions: the routes are one, with a wildcard")
	errRetain = errors.New("retained messages are for liveness alone")
)

// hook decides for each client who it is and what it may do.
type hook struct {
	mochi.HookBase
	log *slog.Logger
}

func (h *hook) ID() string { return "oakestra" }

func (h *hook) Provides(b byte) bool {
	switch b {
	case mochi.OnConnect, mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnSubscribe, mochi.OnPublish, mochi.OnPublishDropped, mochi.OnQosPublish:
		return true
	}
	return false
}

// OnConnect takes MQTT 3.1.1 with clean sessions, bounds the keepalive, and refuses a will that the client could not publish itself: the broker sends wills without
// a check of its own.
func (h *hook) OnConnect(cl *mochi.Client, pk packets.Packet) error {
	if pk.ProtocolVersion != mqtt311 {
		return packets.ErrUnsupportedProtocolVersion
	}
	if !pk.Connect.Clean {
		h.log.Warn("mqtt client refused", "client", clip(cl.ID), "remote", cl.Net.Remote, "error", "only clean sessions are kept")
		return packets.ErrNotAuthorized
	}
	if cl.State.Keepalive == 0 || cl.State.Keepalive > maxKeepalive {
		cl.State.Keepalive = maxKeepalive
	}
	if pk.Connect.WillFlag {
		worker, err := identity(cl.Net.Conn)
		if err == nil && !mayWrite(worker, pk.Connect.WillTopic, pk.Connect.WillRetain) {
			err = fmt.Errorf("will on %q is not the client's to write", pk.Connect.WillTopic)
		}
		if err != nil {
			h.log.Warn("mqtt client refused", "client", clip(cl.ID), "remote", cl.Net.Remote, "error", err)
			return packets.ErrNotAuthorized
		}
	}
	return nil
}

// OnConnectAuthenticate takes a client in if its certificate names a worker and its client id is one of that worker's.
func (h *hook) OnConnectAuthenticate(cl *mochi.Client, _ packets.Packet) bool {
	worker, err := identity(cl.Net.Conn)
	if err == nil && !clientOf(worker, cl.ID) {
		err = fmt.Errorf("client id is not %s%s or %s%s", worker, SuffixEngine, worker, SuffixNet)
	}
	if err != nil {
		h.log.Warn("mqtt client refused", "client", clip(cl.ID), "remote", cl.Net.Remote, "error", err)
		return false
	}
	return true
}

// OnACLCheck is asked on every subscription, publication and delivery.
func (h *hook) OnACLCheck(cl *mochi.Client, topic string, write bool) bool {
	if cl.Net.Inline {
		return true
	}
	worker := workerOf(cl.ID)
	allowed := mayRead(worker, topic)
	if write {
		allowed = mayWrite(worker, topic, false)
	}
	if !allowed {
		h.log.Warn("mqtt access refused", "client", cl.ID, "topic", clip(topic), "write", write)
	}
	return allowed
}

// OnSubscribe ends a client that subscribes to more than there is. Filters of routes name any service, so there are as many as
// somebody makes up.
func (h *hook) OnSubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	if !cl.Net.Inline && cl.State.Subscriptions.Len()+len(pk.Filters) > maxSubscriptions {
		h.drop(cl, errGreedy)
		pk.Filters = nil
	}
	return pk
}

// OnPublish refuses a retained message where none is due, which the check of the topic alone does not see.
func (h *hook) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if !cl.Net.Inline && !mayWrite(workerOf(cl.ID), pk.TopicName, pk.FixedHeader.Retain) {
		h.drop(cl, errRetain)
		return pk, packets.ErrRejectPacket
	}
	return pk, nil
}

// OnPublishDropped ends a client for which a message had to be dropped.
func (h *hook) OnPublishDropped(cl *mochi.Client, _ packets.Packet) { h.drop(cl, errSlow) }

// OnQosPublish ends a client that acknowledges too little.
func (h *hook) OnQosPublish(cl *mochi.Client, _ packets.Packet, _ int64, _ int) {
	if cl.State.Inflight.Len() > maxUnacknowledged {
		h.drop(cl, errSlow)
	}
}

func (h *hook) drop(cl *mochi.Client, why error) {
	if !cl.Closed() {
		h.log.Warn("mqtt client dropped", "client", cl.ID, "error", why)
		// Stop closes the connection, which may wait for a peer that does not read.
		go cl.Stop(why)
	}
}

// identity returns the worker that the connection's verified certificate names.
func identity(conn net.Conn) (string, error) {
	c, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return "", errors.New("the connection is not TLS: a client certificate is needed")
	}
	chains := c.ConnectionState().VerifiedChains
	if len(chains) == 0 || len(chains[0]) == 0 {
		return "", errors.New("no client certificate of this cluster's CA was shown: join the worker first")
	}
	id := chains[0][0].Subject.CommonName
	if !pki.ValidID(id) {
		return "", errors.New("the client certificate's common name is not a worker's id")
	}
	return id, nil
}

// workerOf returns the worker of a client id that [hook.OnConnectAuthenticate] let in.
func workerOf(clientID string) string { return clientID[:min(len(clientID), pki.IDLength)] }

// clip bounds what a stranger can put into a log line.
func clip(s string) string { return s[:min(len(s), 64)] }
