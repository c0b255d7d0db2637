// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"os"
	"path/filepath"
	"testing"
)

func TestClearSparesForeignFolders(t *testing.T) {
	l := layout{t.TempDir()}
	foreign := filepath.Join(l.dir, "hosts", "precious")
	if err := os.MkdirAll(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []func() error{l.clear, l.clearLogs} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Fatalf("a folder without the testbed's mark was cleared: %v", err)
	}
	if err := os.WriteFile(l.marker(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.clear(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(foreign); err == nil {
		t.Fatal("the testbed's own folder was not cleared")
	}
}
