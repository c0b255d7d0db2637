// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"io"
	"log/slog"

	"github.com/spf13/pflag"
)

// Log is how a program is to log: the values of --log-level and --log-format.
type Log struct{ level, format string }

// AddFlags adds the two flags.
func (l *Log) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&l.level, "log-level", "info", "least level of what is logged: debug, info, warn or error")
	flags.StringVar(&l.format, "log-format", "text", "form of the log on standard error: text or json")
}

// Debug has all be logged, as a configuration file may ask for; a flag or variable that says otherwise is to be asked first.
func (l *Log) Debug() { l.level = "debug" }

// Logger returns a logger that writes to w as the flags say, or an error of usage that names the flag.
func (l *Log) Logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, Usagef("flag --log-level: %q is none of debug, info, warn, error", l.level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, Usagef("flag --log-format: %q is none of text, json", l.format)
}
