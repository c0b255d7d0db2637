// SPDX-License-Identifier: Apache-2.0

// Package reference owns a client for tests that knows of the API what the original's documentation says and nothing else: paths, methods
// and names of fields, over net/http. It must not use this project's own types: what it can do, existing clients can.
package reference
