// SPDX-License-Identifier: Apache-2.0

package endpoint

import "errors"

// Reasons why an endpoint is not attached. Errors of [Set] wrap one of them unless the kernel or the disk failed.
var (
	// ErrInvalid means that the request can never succeed as it is.
	ErrInvalid = errors.New("invalid request")
	// ErrStale means that a higher generation of the instance is attached already.
	ErrStale = errors.New("a higher generation is attached")
	// ErrNotReady means that the worker has no subnet yet.
	ErrNotReady = errors.New("the cluster has not given this worker a subnet yet")
	// ErrFull means that no address is free.
	ErrFull = errors.New("no free address")
)
