// SPDX-License-Identifier: Apache-2.0

// Package schema owns root's tables. It knows nothing of who queries them.
package schema

import (
	"embed"
	"io/fs"
)

//go:embed *.sql
var files embed.FS

// Files returns the migrations, for store.Open.
func Files() fs.FS { return files }
