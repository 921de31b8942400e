// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
)

// TestDocumentation looks for all that is answered, and all types, in docs/grafana.md.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/grafana.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, pattern := range Patterns() {
		name := strings.TrimPrefix(pattern, "GET ")
		if strings.Contains(pattern, service) {
			name = path.Base(pattern)
		}
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("%s is not in docs/grafana.md", name)
		}
	}
	for _, typ := range libpf.SampleTypes() {
		id, ok := profileTypes[typ]
		if parsed, err := parseType(id); !ok || err != nil || parsed != typ {
			t.Errorf("%s has the profile type %q, which is %s, %v", typ, id, parsed, err)
		}
		if !strings.Contains(text, "`"+id+"`") || !strings.Contains(text, "`"+typ.String()+"`") {
			t.Errorf("%s of %s is not in docs/grafana.md", id, typ)
		}
		if len(strings.Split(id, ":")) != 5 {
			t.Errorf("%s has not five parts", id)
		}
	}
	for id, typ := range otherIDs {
		if parsed, err := parseType(id); err != nil || parsed != typ || profileTypes[typ] == id {
			t.Errorf("%s is %s, %v", id, parsed, err)
		}
	}
}
