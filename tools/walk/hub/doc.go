// SPDX-License-Identifier: Apache-2.0

// Package hub owns what stands for the internet in a walk: a host of its own that answers to the names that a page's readers meet. It resolves
// names, serves images as Docker Hub does, over TLS, under the names by which everybody knows them, and has a web page that says who asks.
// It needs no route to anywhere.
package hub
