// SPDX-License-Identifier: Apache-2.0

package openapi

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"
)

// Operation is one route.
type Operation struct {
	Method string
	// Path is in Echo's form: parameters begin with a colon.
	Path string
	// Tag groups operations. Summary says in a line what this one does.
	Tag, Summary string
	// Access is the name of the [Scheme] that a request has to come with, empty for none. Note says who may use the route.
	Access, Note string
	// Query is a value of a struct whose fields have tags `query`, Body one of the type that the body is decoded into, Answer one of the
	// type that a success is answered with; nil where there is none.
	Query, Body, Answer any
}

// Scheme is a way in which requests prove who they are from.
type Scheme struct {
	Name, Description string
	// Bearer says that a token is sent in the header Authorization; otherwise a certificate is shown.
	Bearer bool
}

// API is what a document is made of.
type API struct {
	Title, Version, Description string
	Schemes                     []Scheme
	Operations                  []Operation
	// Problem is a value of the type of every answer that is no success.
	Problem any
	// As holds pairs of a type and another that has the JSON which the first marshals itself to.
	As [][2]any
}

// Document returns the OpenAPI 3.1 document in JSON.
func (a API) Document() ([]byte, error) {
	r := openapi31.NewReflector()
	r.Spec.Info.WithTitle(a.Title).WithVersion(a.Version).WithDescription(a.Description)
	for _, pair := range a.As {
		r.AddTypeMapping(pair[0], pair[1])
	}
	for _, s := range a.Schemes {
		if s.Bearer {
			r.Spec.SetHTTPBearerTokenSecurity(s.Name, "JWT", s.Description)
			continue
		}
		mutual := openapi31.SecurityScheme{}
		mutual.WithDescription(s.Description).WithMapOfAnythingItem("type", "mutualTLS")
		r.Spec.ComponentsEns().WithSecuritySchemesItem(s.Name, openapi31.SecuritySchemeOrReference{SecurityScheme: &mutual})
	}
	for _, o := range a.Operations {
		if err := a.add(r, o); err != nil {
			return nil, fmt.Errorf("describe %s %s: %w", o.Method, o.Path, err)
		}
	}
	out, err := r.Spec.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write the API's description: %w", err)
	}
	return out, nil
}

func (a API) add(r *openapi31.Reflector, o Operation) error {
	path, parameters := template(o.Path)
	c, err := r.NewOperationContext(o.Method, path)
	if err != nil {
		return err
	}
	c.SetTags(o.Tag)
	c.SetSummary(o.Summary)
	c.SetDescription(o.Note)
	if o.Access != "" {
		c.AddSecurity(o.Access)
	}
	if parameters != nil {
		c.AddReqStructure(parameters)
	}
	for _, in := range []any{o.Query, o.Body} {
		if in != nil {
			c.AddReqStructure(in)
		}
	}
	c.AddRespStructure(o.Answer, openapi.WithHTTPStatus(http.StatusOK))
	c.AddRespStructure(a.Problem, openapi.WithContentType("application/problem+json"), func(u *openapi.ContentUnit) {
		u.IsDefault = true
		u.Description = "What failed, why, and the way out (RFC 9457)."
	})
	return r.AddOperation(c)
}

// template turns Echo's form of a path into OpenAPI's, and its parameters into a struct that has one field for each.
func template(path string) (string, any) {
	parts := strings.Split(path, "/")
	var fields []reflect.StructField
	for i, p := range parts {
		name, ok := strings.CutPrefix(p, ":")
		if !ok {
			continue
		}
		parts[i] = "{" + name + "}"
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("P%d", i), Type: reflect.TypeFor[string](),
			Tag: reflect.StructTag(fmt.Sprintf(`path:"%s" required:"true"`, name))})
	}
	if fields == nil {
		return path, nil
	}
	return strings.Join(parts, "/"), reflect.New(reflect.StructOf(fields)).Interface()
}
