// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/strictjson"
)

// maxDrain bounds how much of a body that is too large is read and thrown away. A client that still sends while the
// connection closes would lose the answer that tells it why.
const maxDrain = 64 << 20

func limitBody(byRoute map[string]int64) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			limit, ok := byRoute[c.Path()]
			if !ok {
				limit = BodyLimit
			}
			req := c.Request()
			body := req.Body
			var err error
			if req.ContentLength > limit {
				err = &http.MaxBytesError{Limit: limit}
			} else {
				req.Body = http.MaxBytesReader(c.Response(), body, limit)
				err = next(c)
			}
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				_, _ = io.Copy(io.Discard, io.LimitReader(body, maxDrain))
			}
			return err
		}
	}
}

// Body reads a request's whole body, within the route's limit.
func Body(c echo.Context) ([]byte, error) {
	body, err := io.ReadAll(c.Request().Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, err
	}
	if err != nil {
		return nil, NewProblem(http.StatusBadRequest, "body_unreadable", "the body could not be read to its end").Because(err)
	}
	return body, nil
}

// Decode reads a request's JSON body into v and takes it at its word: a field that v lacks, or that is there twice, is refused, as is
// nesting without end. Broken JSON is a 400, JSON of another shape a 422 with the path.
func Decode(c echo.Context, v any) error {
	body, err := Body(c)
	if err != nil {
		return err
	}
	if err := decode(body, v); err != nil {
		return err
	}
	if err := strictjson.Check(body); err != nil {
		return FaultProblem(err)
	}
	return FaultProblem(strictjson.Fields(body, reflect.TypeOf(v)))
}

// DecodeLoose is [Decode] for what another version of this program may send: fields that v lacks are passed over.
func DecodeLoose(c echo.Context, v any) error {
	body, err := Body(c)
	if err != nil {
		return err
	}
	return decode(body, v)
}

// FaultProblem tells a client of a [*strictjson.Fault]; other errors, and none, are returned as they are.
func FaultProblem(err error) error {
	var fault *strictjson.Fault
	if !errors.As(err, &fault) {
		return err
	}
	switch fault.Kind {
	case strictjson.TooDeep:
		return NewProblem(http.StatusBadRequest, "too_deep", "%s", fault.Reason).At(fault.Path)
	case strictjson.Duplicate:
		return NewProblem(http.StatusBadRequest, "duplicate_field", "%s", fault.Reason).At(fault.Path)
	}
	return NewProblem(http.StatusUnprocessableEntity, "unknown_field", "%s", fault.Reason).At(fault.Path)
}

func decode(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	var shape *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &shape):
		path := "$"
		if shape.Field != "" {
			path += "." + shape.Field
		}
		return NewProblem(http.StatusUnprocessableEntity, "wrong_type", "want %s, got %s", jsonName(shape.Type), shape.Value).At(path)
	case errors.As(err, &syntax):
		return NewProblem(http.StatusBadRequest, "broken_json", "the body is not JSON: %v at byte %d", syntax, syntax.Offset)
	}
	// A type's own UnmarshalJSON refused its part.
	return NewProblem(http.StatusUnprocessableEntity, "wrong_value", "%s", fmt.Sprint(err))
}

// jsonName is what users call a type: they know JSON's, not this program's.
func jsonName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonName(t.Elem())
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number that fits"
}
