// SPDX-License-Identifier: Apache-2.0

// Package measure owns the benchmark of the control plane: its parts, the figures that each finds and what they have to be, and the report.
// A part that was measured with the same programs is not measured again.
package measure
