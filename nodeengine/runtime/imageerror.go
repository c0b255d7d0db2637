// SPDX-License-Identifier: Apache-2.0

package runtime

import "fmt"

// ImageError says why an image cannot be had, in words for the person who wrote the descriptor.
type ImageError struct {
	// Image is the reference as the descriptor has it, Registry the host asked.
	Image, Registry string
	// WayOut says what a person can do.
	WayOut string
	Err    error
}

func (e *ImageError) Error() string {
	from := ""
	if e.Registry != "" {
		from = " from registry " + e.Registry
	}
	return fmt.Sprintf("image %q cannot be had%s: %v: %s", e.Image, from, e.Err, e.WayOut)
}

// Unwrap returns the cause.
func (e *ImageError) Unwrap() error { return e.Err }
