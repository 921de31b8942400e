// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func documentation(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/scrape.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocumentationIsComplete looks for each field of the file, each profile, each
// reason, and each metric.
func TestDocumentationIsComplete(t *testing.T) {
	t.Parallel()
	var names []string
	known := regexp.MustCompile(`known are (.*)`)
	job := "scrape_configs: [{x: 1, profiling_config: {x: 1, pprof_config: {memory: {x: 1, keep_sample_type: [{x: 1}]}}}, basic_auth: {x: 1}, " +
		"authorization: {x: 1}, tls_config: {x: 1}, static_configs: [{x: 1}], file_sd_configs: [{x: 1}], relabel_configs: [{x: 1}]}]"
	for _, text := range []string{"{x: 1, global: {x: 1}}", job} {
		_, err := readConfig("c.yaml", []byte(text))
		if err == nil {
			t.Fatalf("%s is taken", text)
		}
		for _, m := range known.FindAllStringSubmatch(err.Error(), -1) {
			names = append(names, strings.Split(m[1], ", ")...)
		}
	}
	if len(names) < 50 {
		t.Errorf("only %d names of fields: %v", len(names), names)
	}
	names = append(names, relabelActions...)
	for name := range maps.Keys(knownProfiles()) {
		if rest, ok := strings.CutPrefix(name, "godeltaprof"); ok && rest != "_memory" {
			name = rest
		}
		names = append(names, name)
	}
	text := documentation(t)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "`"+name+": false`") {
			t.Errorf("%s is not in docs/scrape.md", name)
		}
	}
	registry := &lister{}
	if _, err := New(Options{File: os.DevNull, Registerer: registry}); err == nil || len(registry.descs) == 0 {
		t.Fatalf("%d metrics, %v", len(registry.descs), err)
	}
	for _, d := range registry.descs {
		m := regexp.MustCompile(`fqName: "strobe_collectionagent_([^"]+)".*variableLabels: \{([^}]*)\}`).FindStringSubmatch(d)
		if m == nil {
			t.Fatal(d)
		}
		name := m[1]
		if m[2] != "" {
			name += "{" + m[2] + "}"
		}
		if !strings.Contains(text, "| `"+name+"` |") {
			t.Errorf("the metric %s is not in docs/scrape.md", name)
		}
	}
}

// lister lists what is registered.
type lister struct {
	prometheus.Registerer
	descs []string
}

func (l *lister) Register(c prometheus.Collector) error {
	all := make(chan *prometheus.Desc, 10)
	c.Describe(all)
	close(all)
	for d := range all {
		l.descs = append(l.descs, d.String())
	}
	return nil
}

// TestDocumentationIsRight reads the examples.
func TestDocumentationIsRight(t *testing.T) {
	t.Parallel()
	text := documentation(t)
	_, example, _ := strings.Cut(text, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	if c, err := readConfig("scrape.yaml", []byte(example)); err != nil || len(c.jobs) != 2 {
		t.Errorf("the example: %v", err)
	}
	_, example, _ = strings.Cut(text, "```json\n")
	example, _, _ = strings.Cut(example, "```")
	if g, err := readTargets("sd.json", []byte(example)); err != nil || len(g) != 1 {
		t.Errorf("the example of targets: %v", err)
	}
	for name, p := range knownProfiles() {
		if rest, ok := strings.CutPrefix(name, "godeltaprof"); ok && !strings.Contains(text, "`"+rest+"`") && rest != "_memory" {
			t.Errorf("%s is not documented", name)
		}
		if !strings.Contains(text, "`"+p.path+"`") && !strings.Contains(text, "`"+strings.TrimPrefix(p.path, "/debug/pprof/")+"`") {
			t.Errorf("the path %s of %s is not documented", p.path, name)
		}
	}
}
