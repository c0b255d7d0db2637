// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// download reads one answer to its end.
func download(ctx context.Context, url string) (hello.DownloadReport, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return hello.DownloadReport{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return hello.DownloadReport{}, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return hello.DownloadReport{}, fmt.Errorf("%s answers %s", url, res.Status)
	}
	r := hello.DownloadReport{Instance: res.Header.Get("Oak-Instance")}
	start := time.Now()
	last := start
	var gap time.Duration
	for buf := make([]byte, 64<<10); ; {
		n, err := res.Body.Read(buf)
		now := time.Now()
		gap, last = max(gap, now.Sub(last)), now
		r.Bytes += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return r, fmt.Errorf("after %d bytes and %s: %w", r.Bytes, time.Since(start), err)
		}
	}
	r.Seconds = time.Since(start).Seconds()
	r.LongestGapMS = float64(gap.Microseconds()) / 1000
	if r.Retransmits, err = strconv.Atoi(res.Trailer.Get(hello.TrailerRetransmits)); err != nil {
		return r, fmt.Errorf("read the count of retransmissions: %w", err)
	}
	return r, nil
}
