// SPDX-License-Identifier: Apache-2.0

// Package logs owns the folder of what workloads write to standard output and error: one file each, to which a runtime has it appended
// whether NodeEngine is there or not. It bounds the files, remembers when what was written, and reads and follows them.
//
// A place in a log is a position: the number of bytes written before it since the log began, so that it keeps its meaning when the file is
// rotated and while NodeEngine is away. When a byte was written is known to about a tenth of a second, for what was written while NodeEngine
// was away only to the file's last change. It knows neither instances nor containers.
package logs
