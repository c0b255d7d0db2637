// SPDX-License-Identifier: Apache-2.0

// Package report owns what is made of finished rounds: medians with their spread, ratios with their intervals, a verdict on
// each demand, and the files that say so: JSON, Markdown and a chart.
package report
