// SPDX-License-Identifier: Apache-2.0

// Package containerdtest owns what tests of the container runtime need: a private containerd, a registry in the process and
// images made from static Go programs. It is imported by tests only.
package containerdtest
