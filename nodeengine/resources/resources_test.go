// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"runtime"
	"testing"

	"github.com/shirou/gopsutil/v4/cpu"
)

func TestReadIsPlausible(t *testing.T) {
	m, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := m.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Capacity.VCPUs != float64(runtime.NumCPU()) || r.Capacity.MemoryMB < 64 || r.Capacity.StorageMB < 1 {
			t.Errorf("capacity %+v", r.Capacity)
		}
		for _, p := range []float64{r.CPUPercent, r.MemoryPercent, r.DiskPercent} {
			if p < 0 || p > 100 {
				t.Errorf("%+v", r)
			}
		}
	}
	if _, err := Open("/does/not/exist"); err == nil {
		t.Error("a folder that is not there was taken")
	}
}

func TestBusy(t *testing.T) {
	from := cpu.TimesStat{CPU: "cpu-total", User: 10, Idle: 90}
	for _, c := range []struct {
		to   cpu.TimesStat
		want float64
	}{
		{cpu.TimesStat{User: 11, Idle: 93}, 25},
		{cpu.TimesStat{User: 10, Idle: 100}, 0},
		{cpu.TimesStat{User: 10, Idle: 90}, 0},
		{cpu.TimesStat{User: 9, Idle: 80}, 0},
		{cpu.TimesStat{User: 20, Idle: 90}, 100},
	} {
		if got := busy(from, c.to); got < c.want-0.01 || got > c.want+0.01 {
			t.Errorf("%+v: %f, want %f", c.to, got, c.want)
		}
	}
	if busy(cpu.TimesStat{}, from) != 0 {
		t.Error("the first reading has no use")
	}
}
