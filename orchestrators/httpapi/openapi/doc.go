// SPDX-License-Identifier: Apache-2.0

// Package openapi owns how an API is described: the OpenAPI 3.1 document that is made of the routes and of the Go types of what they take
// and answer, and the page that shows it to people.
//
// It knows no route by itself, and nothing of who may use which.
package openapi
