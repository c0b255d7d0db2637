// SPDX-License-Identifier: Apache-2.0

package wire

// When a workload that has ended is started again on its worker.
const (
	RestartAlways    = "always"     // whatever its exit status; the default, but for one-shots
	RestartOnFailure = "on-failure" // unless its exit status is 0; the default of one-shots
	RestartNever     = "never"
)

// RestartPolicy says what follows the end of a workload's process.
type RestartPolicy struct {
	// Policy is one of [RestartAlways], [RestartOnFailure] and [RestartNever].
	Policy string `json:"policy"`
	// Attempts is how many restarts within an hour the worker makes before the cluster looks for another one; 0 for the default.
	Attempts int `json:"attempts,omitempty"`
	// DelaySeconds is the wait before the first restart, doubled up to MaxDelaySeconds; 0 for the defaults.
	DelaySeconds    int `json:"delay_s,omitempty"`
	MaxDelaySeconds int `json:"max_delay_s,omitempty"`
}

// Probe asks a workload how it is. Exactly one of Exec, HTTP and TCP is set; numbers that are 0 stand for the defaults.
type Probe struct {
	Exec *ExecProbe `json:"exec,omitempty"`
	HTTP *HTTPProbe `json:"http,omitempty"`
	TCP  *TCPProbe  `json:"tcp,omitempty"`
	// InitialDelaySeconds is waited after the start, PeriodSeconds between probes; one is given up after TimeoutSeconds.
	InitialDelaySeconds int `json:"initial_delay_s,omitempty"`
	PeriodSeconds       int `json:"period_s,omitempty"`
	TimeoutSeconds      int `json:"timeout_s,omitempty"`
	// SuccessThreshold and FailureThreshold are how many equal answers in a row change the verdict.
	SuccessThreshold int `json:"success_threshold,omitempty"`
	FailureThreshold int `json:"failure_threshold,omitempty"`
}

// ExecProbe runs a command in the container; exit status 0 is success.
type ExecProbe struct {
	Command []string `json:"command"`
}

// HTTPProbe gets a path of the container; a status from 200 to 399 is success.
type HTTPProbe struct {
	Path string `json:"path"`
	Port uint16 `json:"port"`
}

// TCPProbe connects to a port of the container.
type TCPProbe struct {
	Port uint16 `json:"port"`
}

// SecretRef names a secret of the organisation, and where an instance gets its value. The value itself travels elsewhere.
type SecretRef struct {
	Name string `json:"name"`
	// Version is the secret's version, from 1; root sets it when it hands out the specification.
	Version int `json:"version,omitempty"`
	// Env is the variable, File the absolute path in the container, that holds the value: one of them, or neither for
	// registry credentials.
	Env  string `json:"env,omitempty"`
	File string `json:"file,omitempty"`
}
