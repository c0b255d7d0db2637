// SPDX-License-Identifier: Apache-2.0

// Package walk owns the tests that walk the getting-started pages word for word: what a page says to type is typed, on devices that are fresh
// machines with Docker from Debian, without any registry to pull base images from. It has no code that programs use.
package walk
