// SPDX-License-Identifier: Apache-2.0

package overlay

// burst is how many messages of routes one worker is sent at once. A broker keeps room for several times as many for each client; one who wants
// thousands of services is told of them bit by bit.
const burst = 256

// backlog holds routes back, of each service the latest for a worker alone: it is no longer than there is to want.
type backlog struct {
	messages map[backlogKey]Message
	order    []backlogKey
}

type backlogKey struct{ worker, name string }

func (b *backlog) len() int { return len(b.order) }

func (b *backlog) put(m Message) {
	if b.messages == nil {
		b.messages = map[backlogKey]Message{}
	}
	key := backlogKey{m.Worker, m.Name}
	if _, ok := b.messages[key]; !ok {
		b.order = append(b.order, key)
	}
	b.messages[key] = m
}

func (b *backlog) take() []Message {
	out := make([]Message, 0, len(b.order))
	for _, key := range b.order {
		out = append(out, b.messages[key])
	}
	b.messages, b.order = nil, nil
	return out
}
