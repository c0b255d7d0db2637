// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"os"
	"testing"

	"github.com/oakestra/oakestra-ebpf/tools/walk/bases"
)

// serveGoCache makes the test's own program the one that keeps Go's build cache, where Go starts it as that.
const serveGoCache = "serve-go-cache"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == serveGoCache {
		if err := bases.ServeGoCache(os.Args[2], os.Args[3], os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}
