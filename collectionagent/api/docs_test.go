// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readDocumentation(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDocumentationIsComplete(t *testing.T) {
	t.Parallel()
	text := readDocumentation(t)
	for _, e := range endpoints() {
		for _, name := range append([]string{strings.TrimPrefix(e.path, "/api/v1/")}, e.parameters...) {
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("%s of %s is not in docs/api.md", name, e.path)
			}
		}
	}
}

// TestDocumentationIsRight asks for every example and compares the answers.
func TestDocumentationIsRight(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, testStore(t))
	examples := 0
	for i, block := range strings.Split(readDocumentation(t), "```\n") {
		target, want, ok := strings.Cut(block, "\n")
		target, isGet := strings.CutPrefix(target, "GET ")
		if i%2 == 0 || !ok || !isGet {
			continue
		}
		examples++
		path, parameters, _ := strings.Cut(target, "?")
		values, err := url.ParseQuery(parameters)
		if err != nil {
			t.Fatal(err)
		}
		got := get(t, h, path+"?"+values.Encode()).Body.String()
		want = strings.TrimPrefix(want, "400 ")
		if strings.HasPrefix(want, "{") {
			got, want = normalJSON(t, got), normalJSON(t, want)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-documented +answered):\n%s", target, diff)
		}
	}
	if examples < 8 {
		t.Errorf("only %d examples found", examples)
	}
}

func normalJSON(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
