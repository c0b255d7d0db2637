// SPDX-License-Identifier: Apache-2.0

// Package geo owns where things are on the earth: locations as people write them, and how far apart two are. It knows nothing of clusters
// and workers, nor of what their distance is good for.
package geo
