// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"bytes"
	"io/fs"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// entry is what the kernel would make of a cpio entry.
type entry struct {
	name string
	mode uint32
	body string
}

// readCPIO reads the newc format as the kernel's init/initramfs.c does.
func readCPIO(t require.TestingT, b []byte) []entry {
	var all []entry
	for {
		require.GreaterOrEqual(t, len(b), 110)
		require.Equal(t, "070701", string(b[:6]))
		field := func(i int) int {
			v, err := strconv.ParseUint(string(b[6+8*i:14+8*i]), 16, 32)
			require.NoError(t, err)
			return int(v)
		}
		mode, size, nameSize := field(1), field(6), field(11)
		require.GreaterOrEqual(t, len(b), 110+nameSize)
		name := string(b[110 : 110+nameSize])
		require.True(t, strings.HasSuffix(name, "\x00"))
		name = strings.TrimSuffix(name, "\x00")
		b = b[(110+nameSize+3)&^3:]
		if name == "TRAILER!!!" {
			require.Empty(t, b)
			return all
		}
		all = append(all, entry{name, uint32(mode), string(b[:size])})
		b = b[(size+3)&^3:]
	}
}

func TestArchiveIsReadBack(t *testing.T) {
	a := newArchive()
	a.add("/init", 0o755, []byte("program"))
	a.add("test/bpf/bpf.test", 0o700, nil)
	a.add("test/bpf/testdata/x", 0o644, []byte("12345"))
	a.link("bin/ping", "busybox")
	var b bytes.Buffer
	require.NoError(t, a.writeTo(&b))
	require.Equal(t, []entry{
		{"bin", cpioFolder | 0o755, ""},
		{"bin/ping", cpioLink | 0o777, "busybox"},
		{"init", cpioRegular | 0o755, "program"},
		{"test", cpioFolder | 0o755, ""},
		{"test/bpf", cpioFolder | 0o755, ""},
		{"test/bpf/bpf.test", cpioRegular | 0o700, ""},
		{"test/bpf/testdata", cpioFolder | 0o755, ""},
		{"test/bpf/testdata/x", cpioRegular | 0o644, "12345"},
	}, readCPIO(t, b.Bytes()))
}

// TestArchiveHoldsWhatWasAdded: whatever the lengths, nothing is lost, and folders come before what they hold.
func TestArchiveHoldsWhatWasAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newArchive()
		want := map[string]string{}
		for range rapid.IntRange(0, 8).Draw(t, "files") {
			name := rapid.StringMatching(`d[a-c]/(d[a-c]/)?f[a-z]{0,5}`).Draw(t, "name")
			body := rapid.StringN(0, 20, 40).Draw(t, "body")
			a.add(name, fs.FileMode(0o640), []byte(body))
			want[name] = body
		}
		var first, second bytes.Buffer
		require.NoError(t, a.writeTo(&first))
		require.NoError(t, a.writeTo(&second))
		require.Equal(t, first.Bytes(), second.Bytes())
		folders := map[string]bool{}
		for _, e := range readCPIO(t, first.Bytes()) {
			if i := strings.LastIndexByte(e.name, '/'); i >= 0 {
				require.True(t, folders[e.name[:i]], "%s comes before its folder", e.name)
			}
			if e.mode&cpioFolder == cpioFolder && e.mode&cpioRegular != cpioRegular {
				require.False(t, folders[e.name], "%s comes twice", e.name)
				folders[e.name] = true
				continue
			}
			require.Equal(t, want[e.name], e.body)
			delete(want, e.name)
		}
		require.Empty(t, want)
	})
}
