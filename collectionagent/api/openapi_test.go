// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func openAPIDocument(t *testing.T) *openapi3.T {
	t.Helper()
	served := get(t, newTestHandler(t, testStore(t)), "/api/v1/openapi.json")
	loader := openapi3.NewLoader()
	d, err := loader.LoadFromData(served.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return d
}

// What is described is what can be asked, parameter by parameter.
func TestOpenAPIIsComplete(t *testing.T) {
	t.Parallel()
	d := openAPIDocument(t)
	described := map[string][]string{}
	for path, item := range d.Paths.Map() {
		if path == "/data" {
			continue // not a question
		}
		described[path] = []string{}
		for _, p := range item.Get.Parameters {
			if p.Value.In == "query" {
				described[path] = append(described[path], p.Value.Name)
			}
		}
	}
	for _, e := range endpoints() {
		path := "/" + strings.TrimPrefix(e.path, root)
		if path == "/openapi.json" {
			continue
		}
		got, ok := described[path]
		if !ok {
			t.Errorf("%s is not described", e.path)
			continue
		}
		delete(described, path)
		want := slices.Clone(e.parameters)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("parameters of %s: described %v, taken %v", e.path, got, want)
		}
	}
	if len(described) > 0 {
		t.Errorf("described and not there: %v", slices.Sorted(maps.Keys(described)))
	}
}

// TestOpenAPIIsRight asks for every example of docs/api.md, and more, and holds the answers
// against what is described: types, what must be there, and nothing that is not described.
func TestOpenAPIIsRight(t *testing.T) {
	t.Parallel()
	d := openAPIDocument(t)
	h := newTestHandler(t, testStore(t))
	asked := map[string]bool{}
	for i, block := range strings.Split(readDocumentation(t), "```\n") {
		target, _, ok := strings.Cut(block, "\n")
		target, isGet := strings.CutPrefix(target, "GET ")
		if i%2 == 0 || !ok || !isGet {
			continue
		}
		path, parameters, _ := strings.Cut(target, "?")
		values, err := url.ParseQuery(parameters)
		if err != nil {
			t.Fatal(err)
		}
		path = "/" + strings.TrimPrefix(path, root)
		described := path
		if strings.HasPrefix(path, "/labels/") {
			described = "/labels/{name}/values"
		}
		item := d.Paths.Value(described)
		if item == nil {
			t.Errorf("%s is not described", path)
			continue
		}
		answer := get(t, h, root+path[1:]+"?"+values.Encode())
		responses := item.Get.Responses
		response := responses.Status(answer.Code)
		if response == nil {
			response = responses.Default()
		}
		media, _, _ := strings.Cut(answer.Header().Get("Content-Type"), ";")
		content := response.Value.Content.Get(media)
		if content == nil {
			t.Errorf("%s: %s is not described for status %d", target, media, answer.Code)
			continue
		}
		asked[described] = true
		if media != "application/json" {
			continue
		}
		var v any
		if err := json.Unmarshal(answer.Body.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		if err := content.Schema.Value.VisitJSON(v, openapi3.MultiErrors()); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		for _, field := range undescribed(content.Schema.Value, v, "") {
			t.Errorf("%s: %s is not described", target, field)
		}
	}
	for path := range d.Paths.Map() {
		if !asked[path] && path != "/data" && path != "/pprof" {
			t.Errorf("docs/api.md has no example of %s", path)
		}
	}
}

// undescribed lists the fields of a value that a schema does not know.
func undescribed(s *openapi3.Schema, v any, path string) []string {
	var out []string
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			if s.Items != nil {
				out = append(out, undescribed(s.Items.Value, item, fmt.Sprintf("%s[%d]", path, i))...)
			}
		}
	case map[string]any:
		if s.AdditionalProperties.Schema != nil {
			return nil // names that are data
		}
		for name, item := range v {
			if p := s.Properties[name]; p != nil {
				out = append(out, undescribed(p.Value, item, path+"."+name)...)
			} else {
				out = append(out, path+"."+name)
			}
		}
	}
	return out
}
