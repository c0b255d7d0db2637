// SPDX-License-Identifier: Apache-2.0

// Package bases owns the base images of a machine that can pull none: what the programs are built in, Postgres, and the sample
// application's two, all from a Debian file system that debootstrap makes out of the packages of this machine's own mirror. What is made is
// kept between runs, under the hash of what it was made of. It knows no Docker: it prepares a folder that any builder takes.
package bases
