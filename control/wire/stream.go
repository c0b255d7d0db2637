// SPDX-License-Identifier: Apache-2.0

package wire

import "time"

// PathStream is where the lower end of a stream dials the tier above, as a WebSocket, with its certificate and the request's secret as a
// bearer token; {id} is the request's id.
const PathStream = "/api/v1/streams/{id}"

// TopicStreams is cluster → NodeEngine, not retained: StreamRequest. Nobody is told of one again: it is worth nothing after 10 s.
const TopicStreams = "streams"

// StreamConnectTimeout is how long the tier below has to dial up after a user has asked for a stream.
const StreamConnectTimeout = 10 * time.Second

// MaxStreamMessage bounds a message of a stream in bytes, its first byte included.
const MaxStreamMessage = 32 << 10

// StreamWindow is how many bytes of data one side may send before the other has said, by StreamControl.Credit, that it has taken some.
const StreamWindow = 256 << 10

// StreamRequest asks the tier below to dial up and to serve one stream. What the stream is for, such as a command, is not in it but is said
// on the stream itself, so that it is stored nowhere.
type StreamRequest struct {
	Format int `json:"format"`
	// ID names the stream: 24 hexadecimal digits. Secret lets whoever knows it connect, once.
	ID     string `json:"id"`
	Secret string `json:"secret"`
	InstanceKey
	// Generation is the one meant; root leaves it to the cluster.
	Generation Generation `json:"generation,omitzero"`
	// URL is https://HOST:PORT of the very process that holds the other end; empty for where the tier below has joined.
	URL string `json:"url,omitempty"`
	// TTLMillis is for how much longer somebody waits.
	TTLMillis int64 `json:"ttl_ms"`
}

// The first byte of each message of a stream says what follows it: bytes of data, or JSON.
const (
	StreamStdin   byte = iota // down: data
	StreamStdout              // up: data
	StreamStderr              // up: data
	StreamControl             // both ways: StreamControlMessage
	StreamStart               // down, once, first: StreamStartMessage; up, once, first unless it is StreamEnd: that it has begun
	StreamEnd                 // up, once, last: StreamEndMessage
)

// StreamStartMessage says what a stream is for: exactly one of Logs and Exec.
type StreamStartMessage struct {
	Logs *LogsStart `json:"logs,omitempty"`
	Exec *ExecStart `json:"exec,omitempty"`
	// Window is how many bytes of output may be on the way; 0 for as much as the connections take, from one who gives no credit.
	Window int `json:"window,omitempty"`
}

// LogsStart asks for what an instance has written to standard output and error.
type LogsStart struct {
	Follow bool `json:"follow,omitempty"`
	// Tail is how many of the last lines are wanted; nil for all that are kept.
	Tail *int `json:"tail,omitempty"`
	// SinceMillis leaves out what is older; 0 for nothing. Times are the worker's.
	SinceMillis int64 `json:"since_ms,omitempty"`
	// Timestamps puts the time of each line, RFC 3339 in UTC, before it.
	Timestamps bool `json:"timestamps,omitempty"`
	// From goes on where a position of an earlier stream was; it overrules Tail and SinceMillis.
	From string `json:"from,omitempty"`
}

// ExecStart asks for a command to be run beside an instance's own process.
type ExecStart struct {
	Command []string `json:"command"`
	// TTY gives it a terminal of Columns × Rows; its error output then comes as standard output.
	TTY     bool   `json:"tty,omitempty"`
	Columns uint16 `json:"columns,omitempty"`
	Rows    uint16 `json:"rows,omitempty"`
	// Stdin says that input will come; without, the command reads end of file.
	Stdin bool `json:"stdin,omitempty"`
}

// StreamControlMessage is one or several of these.
type StreamControlMessage struct {
	// Credit is how many further bytes of data the receiver may send: as many as were taken.
	Credit int `json:"credit,omitempty"`
	// EOF, down, ends the command's input.
	EOF bool `json:"eof,omitempty"`
	// Resize, down, changes the size of the terminal.
	Resize *TerminalSize `json:"resize,omitempty"`
	// Signal, down, is a signal for the command, such as INT.
	Signal string `json:"signal,omitempty"`
	// Position, up, is where in the log the data so far ends; see LogsStart.From.
	Position string `json:"position,omitempty"`
}

// TerminalSize is that of a terminal, in characters.
type TerminalSize struct {
	Columns uint16 `json:"columns"`
	Rows    uint16 `json:"rows"`
}

// StreamEndMessage says how a stream ended: with an exit code, with an error, or, if both are missing, at the end of a log.
type StreamEndMessage struct {
	// ExitCode is the command's; 128 and the number of a signal that ended it.
	ExitCode *int `json:"exit_code,omitempty"`
	// Code names an error for programs, Error tells it to a person.
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
}

// Codes of the errors that end a stream.
const (
	StreamNotFound   = "not_found"         // no such instance at the place that was asked
	StreamNotRunning = "not_running"       // nothing to run a command beside
	StreamBadCommand = "command_not_found" // the command cannot be started
	StreamRefused    = "refused"           // what was asked for makes no sense
	StreamBusy       = "too_many_streams"  // a bound of a tier is reached
	StreamLost       = "connection_lost"   // a tier on the way is gone
	StreamFailed     = "failed"            // anything else
)
