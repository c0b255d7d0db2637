// SPDX-License-Identifier: Apache-2.0

// Package manual owns what a program tells of itself for its reference: commands, flags, environment variables, ports, metrics and
// the keys of files, as data and as Markdown. Package cmdline collects it from the command line that really runs.
package manual

// Manual is the reference of one program.
type Manual struct {
	Program string `json:"program"`
	// About is the program's own help.
	About    string    `json:"about"`
	Commands []Command `json:"commands"`
	Extra
}

// Extra is what a program adds that no flag tells.
type Extra struct {
	Variables []Variable `json:"variables,omitempty"`
	Ports     []Port     `json:"ports,omitempty"`
	Keys      []Keys     `json:"keys,omitempty"`
	Metrics   *Metrics   `json:"metrics,omitempty"`
}

// Command is one command, named by its whole path, with the flags that are its own; flags of a parent that it shares are with that one.
type Command struct {
	Command string `json:"command"`
	Use     string `json:"use"`
	Summary string `json:"summary"`
	Flags   []Flag `json:"flags,omitempty"`
	// Shared are flags that the commands below have too.
	Shared []Flag `json:"shared,omitempty"`
}

// Flag is one flag and its environment variable.
type Flag struct {
	Name      string `json:"name"`
	Shorthand string `json:"shorthand,omitempty"`
	Type      string `json:"type"`
	Default   string `json:"default,omitempty"`
	Variable  string `json:"variable"`
	Meaning   string `json:"meaning"`
}

// Variable is an environment variable that is no flag's.
type Variable struct {
	Name    string `json:"name"`
	Meaning string `json:"meaning"`
}

// Port is one that a program listens on, or that other machines have to let it reach.
type Port struct {
	Port int `json:"port"`
	// Protocol is TCP or UDP.
	Protocol string `json:"protocol"`
	// On is the kind of machine that listens, From who dials it.
	On   string `json:"on"`
	From string `json:"from"`
	// Meaning is what is spoken there.
	Meaning string `json:"meaning"`
	// Flag changes it; empty if none does.
	Flag string `json:"flag,omitempty"`
}

// Keys are those of a configuration file.
type Keys struct {
	File string     `json:"file"`
	Keys []Variable `json:"keys"`
}

// Metrics are what a program counts, and where it is read.
type Metrics struct {
	Where   string   `json:"where"`
	Metrics []Metric `json:"metrics"`
}

// Metric is one of them, without those of the Go runtime and of the process, which all programs have.
type Metric struct {
	Name    string   `json:"name"`
	Labels  []string `json:"labels,omitempty"`
	Meaning string   `json:"meaning"`
}
