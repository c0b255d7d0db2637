// SPDX-License-Identifier: Apache-2.0

// Package hello owns what the two sample programs, hello-server and hello-client, say to one another. The end-to-end tests
// read it too. It knows nothing of Oakestra.
package hello
