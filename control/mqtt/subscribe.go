// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// denied is the code in a SUBACK by which a broker refuses a filter; paho does not make it an error.
const denied = 128

type route struct {
	filter string
	handle func(Message)
	// optional says that the session goes on if the broker refuses the filter.
	optional bool
}

// Subscribe has h called with each message whose topic matches filter, from now on and after every reconnect; a second call
// with the same filter replaces the handler. Handlers of a session run one after another, in the order in which messages
// arrived, and may publish. An error means that the broker refused or did not answer; while there is no connection there is
// none, and a refusal at a later connect is logged and retried.
func (s *Session) Subscribe(filter string, h func(topic string, payload []byte)) error {
	if h == nil {
		return s.Receive(filter, nil)
	}
	return s.Receive(filter, func(m Message) { h(m.Topic, m.Payload) })
}

// Receive is [Session.Subscribe] for a handler that wants to know all of a message.
func (s *Session) Receive(filter string, h func(Message)) error {
	return s.add(route{filter: filter, handle: h})
}

// ReceiveOptional is [Session.Receive] for a filter that the broker may refuse, such as one of an older tier that does not know it: it is
// asked again at the next connect.
func (s *Session) ReceiveOptional(filter string, h func(Message)) error {
	return s.add(route{filter: filter, handle: h, optional: true})
}

func (s *Session) add(r route) error {
	if r.filter == "" || r.handle == nil {
		return errors.New("subscribe: a filter and a handler are needed")
	}
	s.mu.Lock()
	s.routes = append(without(s.routes, r.filter), r)
	client := s.client
	s.mu.Unlock()
	if client == nil {
		return nil
	}
	return s.subscribe(s.ctx, client, []string{r.filter})
}

// isOptional reports whether the session can do without a filter.
func (s *Session) isOptional(filter string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.routes {
		if r.filter == filter {
			return r.optional
		}
	}
	return false
}

// without returns a copy, since dispatch reads the old slice without the lock.
func without(routes []route, filter string) []route {
	kept := make([]route, 0, len(routes)+1)
	for _, r := range routes {
		if r.filter != filter {
			kept = append(kept, r)
		}
	}
	return kept
}

// renewSubscriptions subscribes to all filters and then declares the session connected, so that a filter that is added
// meanwhile is not left out.
func (s *Session) renewSubscriptions(ctx context.Context, c paho.Client, drop func(error)) error {
	granted := map[string]bool{}
	for {
		var missing []string
		s.mu.Lock()
		for _, r := range s.routes {
			if !granted[r.filter] {
				missing = append(missing, r.filter)
			}
		}
		if len(missing) == 0 {
			s.client, s.drop = c, drop
		}
		s.mu.Unlock()
		if len(missing) == 0 {
			return nil
		}
		if err := s.subscribe(ctx, c, missing); err != nil {
			return err
		}
		for _, f := range missing {
			granted[f] = true
		}
	}
}

// subscribe sends one SUBSCRIBE and checks what was granted.
func (s *Session) subscribe(ctx context.Context, c paho.Client, filters []string) error {
	want := make(map[string]byte, len(filters))
	for _, f := range filters {
		want[f] = qos
	}
	t := c.SubscribeMultiple(want, nil)
	if err := wait(ctx, t); err != nil {
		return fmt.Errorf("subscribe to %s: %w", strings.Join(filters, ", "), err)
	}
	st, ok := t.(*paho.SubscribeToken)
	if !ok {
		return nil
	}
	for f, code := range st.Result() {
		if code == denied && s.isOptional(f) {
			s.log.Info("the broker does not know a topic: it is older than this program", "filter", f)
		} else if code == denied {
			return fmt.Errorf("subscribe to %s: the broker refused: its access rules do not let this client read it", f)
		}
	}
	return nil
}

// dispatch hands m to every handler whose filter matches.
func (s *Session) dispatch(m Message) {
	s.mu.Lock()
	routes := s.routes
	s.mu.Unlock()
	for _, r := range routes {
		if Match(r.filter, m.Topic) {
			r.handle(m)
		}
	}
}

// Match reports whether topic matches an MQTT filter, in which + stands for one level and a final # for all that follow and
// for the level above it. Topics that begin with $ match no filter that begins with a wildcard.
func Match(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	for {
		f, restF, moreF := strings.Cut(filter, "/")
		if f == "#" {
			return !moreF
		}
		t, restT, moreT := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		switch {
		case !moreF && !moreT:
			return true
		case moreF && !moreT:
			return restF == "#"
		case !moreF:
			return false
		}
		filter, topic = restF, restT
	}
}
