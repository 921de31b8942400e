// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.yaml.in/yaml/v3"
)

const (
	exampleConfig = "../../support/otelcol/config.yaml"
	manifest      = "../../support/otelcol/builder.yaml"
)

// validate runs the command that checks a configuration.
func validate(t *testing.T, config string) error {
	t.Helper()
	if err := allowProfiles(); err != nil {
		t.Fatal(err)
	}
	c := command()
	c.SetArgs([]string{"validate", "--config", config})
	return c.ExecuteContext(t.Context())
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestValidate(t *testing.T) {
	if err := validate(t, exampleConfig); err != nil {
		t.Errorf("the example: %v", err)
	}
	const pipeline = `
exporters: {nop: }
service: {pipelines: {profiles: {receivers: [strobe], exporters: [nop]}}}
`
	for text, want := range map[string]string{
		"receivers: {strobe: }":                              "",
		"receivers: {strobe: {samples_per_second: 0}}":       "samples_per_second: is 0, must be 1 to 1000",
		"receivers: {strobe: {sample_per_second: 20}}":       "sample_per_second",
		"receivers: {strobe: {collection_agent: localhost}}": "collection_agent",
	} {
		err := validate(t, writeConfig(t, text+pipeline))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// required returns the versions of the modules in go.mod.
func required(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	versions := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) >= 2 && strings.Contains(fields[0], ".") {
			versions[fields[0]] = fields[1]
		}
	}
	return versions
}

// distinct returns the number of factories, some of which have a former name as well.
func distinct[F component.Factory](factories map[component.Type]F) int {
	types := map[component.Type]bool{}
	for _, f := range factories {
		types[f.Type()] = true
	}
	return len(types)
}

// TestManifest compares what the builder is told with what is built here.
func TestManifest(t *testing.T) {
	type module struct {
		GoMod  string `yaml:"gomod"`
		Import string `yaml:"import"`
		Name   string `yaml:"name"`
		Path   string `yaml:"path"`
	}
	type builder struct {
		Dist                                                    map[string]string
		Receivers, Processors, Exporters, Extensions, Providers []module
	}
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	var b builder
	if err := decoder.Decode(&b); err != nil {
		t.Fatal(err)
	}
	f, err := factories()
	if err != nil {
		t.Fatal(err)
	}
	versions := required(t)
	for name, part := range map[string]struct {
		modules []module
		want    int
	}{
		"receivers": {b.Receivers, distinct(f.Receivers)}, "processors": {b.Processors, distinct(f.Processors)},
		"exporters": {b.Exporters, distinct(f.Exporters)}, "extensions": {b.Extensions, distinct(f.Extensions)},
		"providers": {b.Providers, len(settings().ConfigProviderSettings.ResolverSettings.ProviderFactories)},
	} {
		if len(part.modules) != part.want {
			t.Errorf("%d %s in the manifest, %d in the distribution", len(part.modules), name, part.want)
		}
		for _, m := range part.modules {
			path, version, _ := strings.Cut(m.GoMod, " ")
			if have := versions[path]; have == "" || have != version {
				t.Errorf("%s has %s at %q, go.mod at %q", name, path, version, have)
			}
		}
	}
	if !strings.Contains(string(text), "builder@"+versions["go.opentelemetry.io/collector/otelcol"]) {
		t.Errorf("the manifest names another version of the builder than %s", versions["go.opentelemetry.io/collector/otelcol"])
	}
}
