// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// mtuExpires holds for how many seconds the kernel believes what routers say of a way's MTU. Its value for IPv6 is another of the same kind; one
// is enough to go by.
const mtuExpires = "/proc/sys/net/ipv4/route/mtu_expires"

// pathKept is how long the programs are to believe routers: as long as the kernel, which its owner may have told otherwise. Where that
// cannot be read it is 0, the usual time.
func pathKept(log *slog.Logger) time.Duration {
	seconds, err := readSeconds(mtuExpires)
	if err != nil {
		log.Warn("what routers say of a way's MTU is believed for 10 minutes", "error", err)
		return 0
	}
	return seconds
}

func readSeconds(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read a setting of the kernel: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("read the setting %s: %w", path, err)
	}
	return time.Duration(n) * time.Second, nil
}
