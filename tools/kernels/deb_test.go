// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"archive/tar"
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func tarOf(t *testing.T, headers ...*tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		require.NoError(t, w.WriteHeader(h))
		if h.Size < 100 {
			_, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size)))
			require.NoError(t, err)
		}
	}
	return &b
}

func TestReadTarTakesWantedRegularFiles(t *testing.T) {
	b := tarOf(t,
		&tar.Header{Name: "./boot/", Typeflag: tar.TypeDir},
		&tar.Header{Name: "./boot/vmlinuz-6.1", Typeflag: tar.TypeReg, Size: 3},
		&tar.Header{Name: "./boot/vmlinuz", Typeflag: tar.TypeSymlink, Linkname: "vmlinuz-6.1"},
		&tar.Header{Name: "../../etc/passwd", Typeflag: tar.TypeReg, Size: 1},
		&tar.Header{Name: "./unwanted", Typeflag: tar.TypeReg, Size: 1},
	)
	files, err := readTar(b, func(name string) bool { return name != "unwanted" })
	require.NoError(t, err)
	require.Equal(t, map[string][]byte{"boot/vmlinuz-6.1": []byte("xxx"), "etc/passwd": []byte("x")}, files)
}

func TestReadTarRefusesWhatIsTooLarge(t *testing.T) {
	b := tarOf(t, &tar.Header{Name: "./boot/vmlinuz", Typeflag: tar.TypeReg, Size: largestFile + 1})
	_, err := readTar(b, func(string) bool { return true })
	require.ErrorContains(t, err, "at most")
}

func TestParseDepends(t *testing.T) {
	record := "Package: linux-image-cloud-amd64\nVersion: 6.1.176-1\n" +
		"Depends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1), kmod | busybox\nDescription: Linux\n Depends: on nothing\n"
	require.Equal(t, []string{"linux-image-6.1.0-50-cloud-amd64", "kmod"}, parseDepends(record))
	require.Empty(t, parseDepends("Package: x\n"))
}

func TestNames(t *testing.T) {
	_, err := ArchByName("riscv64")
	require.ErrorContains(t, err, "there are amd64, arm64")
	_, err = ReleaseByName("5.10")
	require.ErrorContains(t, err, "there are 6.1, backports")
	require.Equal(t, "/test/dataplane/datapath/dataplane-datapath.test", testPath("./dataplane/datapath"))
}
