// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// load is what containers do while something breaks.
type load struct {
	download hello.DownloadReport
	rate     hello.GetReport
}

const (
	// perSecond is how many new connections the client opens each second.
	perSecond = 200
	// downloadRate is the speed of the download, in bytes a second: enough that a lost packet would show, and little enough
	// for two processors that run everything else too.
	downloadRate = 8 << 20
	// lead is how long the load runs before and after what breaks.
	lead = time.Second
)

// under runs a download from a server on another worker and new connections to the service, while breaking runs. It takes
// at least as long as seconds.
func under(t *testing.T, s *scene.Scene, seconds int, breaking func()) load {
	t.Helper()
	client, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	remote := remoteServer(t, s)
	var l load
	var errDownload, errRate error
	var wg sync.WaitGroup
	wg.Go(func() {
		url := fmt.Sprintf("http://%s/download?bytes=%d&rate=%d", remote, seconds*downloadRate, downloadRate)
		errDownload = s.Call(t.Context(), client, &l.download, "download", url)
	})
	wg.Go(func() {
		errRate = s.Call(t.Context(), client, &l.rate, "rate", "http://"+v.RoundRobin+"/",
			"-per-second", fmt.Sprint(perSecond), "-seconds", fmt.Sprint(seconds))
	})
	time.Sleep(lead)
	if breaking != nil {
		breaking()
	}
	wg.Wait()
	if errDownload != nil {
		t.Errorf("download: %v", errDownload)
	}
	if errRate != nil {
		t.Errorf("new connections: %v", errRate)
	}
	if l.rate.Failed != 0 || l.rate.Requests != perSecond*seconds {
		t.Errorf("%d of %d new connections failed: %v", l.rate.Failed, l.rate.Requests, l.rate.Errors)
	}
	return l
}

// nearly compares a load with one under which nothing broke.
func nearly(t *testing.T, quiet, broken load) {
	t.Helper()
	const gap, retransmits = 50, 10
	t.Logf("download's longest gap %.1f ms (quiet %.1f), retransmissions %d (quiet %d), slowest connection %.1f ms (quiet %.1f)",
		broken.download.LongestGapMS, quiet.download.LongestGapMS, broken.download.Retransmits, quiet.download.Retransmits,
		broken.rate.SlowestMS, quiet.rate.SlowestMS)
	if d := broken.download.LongestGapMS - quiet.download.LongestGapMS; d > gap {
		t.Errorf("the download's longest gap is %.1f ms longer than without a fault, want at most %d", d, gap)
	}
	if d := broken.download.Retransmits - quiet.download.Retransmits; d > retransmits {
		t.Errorf("%d more retransmissions than without a fault, want at most %d", d, retransmits)
	}
}
