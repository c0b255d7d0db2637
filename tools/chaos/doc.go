// SPDX-License-Identifier: Apache-2.0

// Package chaos owns the runs of random faults on the testbed: which faults a seed stands for, doing and undoing them while an
// application serves and somebody writes, and judging what is true afterwards. Its judge asks no API: it reads the
// databases, the containerds and the pinned maps themselves.
//
// It may start and break everything of a testbed, and mends nothing but what it has broken.
package chaos
