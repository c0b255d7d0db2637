// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// streamRoutes lists the routes of what lasts.
func (r *Root) streamRoutes() []route {
	const get = http.MethodGet
	return []route{
		{get, pathLogs, user, r.logs, about{summary: "Read or follow what an instance has written to standard output and error: as text, or, to who asks for a WebSocket, as messages",
			query: logsQuery{}}},
		{get, pathExec, provider, r.exec, about{summary: "Run a command in an instance, over a WebSocket. Each message is binary; its first byte says what it is: 0 input (to the command), " +
			"1 output, 2 error output, 3 control as JSON ({\"credit\": bytes taken}; to the command also {\"resize\": {\"columns\", \"rows\"}}, {\"signal\"}, {\"eof\": true}), " +
			"4 that it has begun, 5 how it ended as JSON ({\"exit_code\"}, or {\"code\", \"error\"})", query: execQuery{}}},
		{get, pathEventStream, user, r.streamEvents, about{summary: "Follow what becomes of instances, as server-sent events (text/event-stream), each named instance with an event as data. " +
			"A client that comes back sends the last id it saw as Last-Event-ID", query: eventStreamQuery{}}},
		{get, httpapi.Route(wire.PathStream), streamEnd, r.streams.place.Arrive, about{summary: "Serve a stream that was asked for, over a WebSocket"}},
	}
}
