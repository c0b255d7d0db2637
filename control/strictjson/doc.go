// SPDX-License-Identifier: Apache-2.0

// Package strictjson owns what a JSON document from outside must not do, whatever it is about: nest without end, or name one field
// of an object twice, of which readers take now the first and now the last. It knows no field of any document.
package strictjson
