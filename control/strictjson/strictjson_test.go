// SPDX-License-Identifier: Apache-2.0

package strictjson

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type inner struct {
	Name string `json:"name"`
}

type outer struct {
	inner
	Count int              `json:"count"`
	List  []inner          `json:"list"`
	By    map[string]inner `json:"by"`
	One   *inner           `json:"one"`
	At    time.Time        `json:"at"`
	Raw   json.RawMessage  `json:"raw"`
	Loud  string
	Quiet string `json:"-"`
}

func TestFaultsNameTheirPlace(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+1)
	for body, want := range map[string]struct {
		kind Kind
		path string
	}{
		`{"a":1,"b":{"c":[{"d":1},{"d":1,"d":2}]}}`: {Duplicate, "$.b.c[1].d"},
		`{"a":1,"a":1}`:                        {Duplicate, "$.a"},
		`{"\u0061":1,"a":1}`:                   {Duplicate, "$.a"},
		deep + strings.Repeat("]", MaxDepth+1): {TooDeep, "$"},
		deep:                                   {TooDeep, "$"},
		`{"x\n":{"y":1,"y":2}}`:                {Duplicate, "$.x?.y"},
	} {
		err := Check([]byte(body))
		var fault *Fault
		require.ErrorAs(t, err, &fault, body)
		require.Equal(t, want.kind, fault.Kind, body)
		require.Equal(t, want.path, fault.Path, body)
	}
	for _, body := range []string{``, `{`, `{"a"`, `[1,`, `nonsense`, `{"a":1}`, `[[]]`, `1`, `{"a":{"b":1},"c":{"b":1}}`} {
		require.NoError(t, Check([]byte(body)), body)
	}
}

func TestUnknownFieldsAreNamed(t *testing.T) {
	for body, path := range map[string]string{
		`{"name":"x","count":1,"list":[{"name":"a"}],"by":{"k":{"name":"b"}},"one":{"name":"c"},"at":"x","raw":{"any":1},"LOUD":""}`: "",
		`{"COUNT":1}`:            "",
		`{"counts":1}`:           "$.counts",
		`{"list":[{},{"x":1}]}`:  "$.list[1].x",
		`{"by":{"k":{"x":1}}}`:   "$.by.k.x",
		`{"one":{"x":1}}`:        "$.one.x",
		`{"Quiet":""}`:           "$.Quiet",
		`{"count":"wrong type"}`: "",
		`[]`:                     "",
		`null`:                   "",
	} {
		err := Fields([]byte(body), reflect.TypeFor[*outer]())
		if path == "" {
			require.NoError(t, err, body)
			continue
		}
		var fault *Fault
		require.ErrorAs(t, err, &fault, body)
		require.Equal(t, path, fault.Path, body)
		require.Equal(t, Unknown, fault.Kind)
	}
}

// FuzzCheck holds both checks against the decoder: what they let pass it reads, or refuses by itself; and they end on any bytes.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":null}]}`, `{"a":1,"a":2}`, `[[[[`, `{"a":`, "\x00", `{"list":[{"x":1}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := Check(body)
		_ = Fields(body, reflect.TypeFor[outer]())
		var v any
		if err == nil && json.Unmarshal(body, &v) == nil && depth(v) > MaxDepth {
			t.Fatal("too deep, and not found")
		}
	})
}

func depth(v any) int {
	most := 0
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			most = max(most, depth(x))
		}
	case []any:
		for _, x := range v {
			most = max(most, depth(x))
		}
	default:
		return 0
	}
	return most + 1
}
