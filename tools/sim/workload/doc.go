// SPDX-License-Identifier: Apache-2.0

// Package workload owns what a simulation has a root deploy: applications of many small services, and how it is seen in root's API that they
// run. It talks to root as any user's client does.
package workload
