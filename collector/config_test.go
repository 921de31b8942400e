// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"

	"github.com/strobe-profiler/strobe/libpf"
)

// decode reads a configuration as the Collector does.
func decode(t *testing.T, text string) (*Config, error) {
	t.Helper()
	var values map[string]any
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	c, ok := NewFactory().CreateDefaultConfig().(*Config)
	if !ok {
		t.Fatal("the configuration is of another type")
	}
	if err := confmap.NewFromStringMap(values).Unmarshal(c); err != nil {
		return nil, err
	}
	return c, confmap.Validate(c)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if err := componenttest.CheckConfigStruct(NewFactory().CreateDefaultConfig()); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct {
		text string
		want func(*Config)
	}{
		"empty": {"", func(*Config) {}},
		"all": {`
samples_per_second: 50
unwind_table_bytes: 32MiB
reporter_interval: 2s
reporter_jitter: 0
include_pid: [1, 2]
exclude_pid: [3]
include_executable: ["*/app", b]
exclude_executable: [c]
include_cgroup: [/a/**]
exclude_cgroup: [/b]
host_name: h
host_id: i
env_vars: [A, B]
command_lines: true
label_cpus: true
tags: {env: prod, rack: a1}
queue_bytes: 16777216
`, func(c *Config) {
			c.SamplesPerSecond, c.UnwindTableBytes = 50, 32<<20
			c.ReporterInterval, c.ReporterJitter = 2*time.Second, 0
			c.IncludePIDs, c.ExcludePIDs = []libpf.PID{1, 2}, []libpf.PID{3}
			c.IncludeExecutables, c.ExcludeExecutables = []string{"*/app", "b"}, []string{"c"}
			c.IncludeCgroups, c.ExcludeCgroups = []string{"/a/**"}, []string{"/b"}
			c.HostName, c.HostID, c.EnvVars, c.CommandLines = "h", "i", []string{"A", "B"}, true
			c.LabelCPUs = true
			c.Tags = map[string]string{"env": "prod", "rack": "a1"}
			c.QueueBytes = 16 << 20
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(t, test.text)
			if err != nil {
				t.Fatal(err)
			}
			want := defaultConfig()
			test.want(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"unknown key":   {"sample_per_second: 1", []string{"sample_per_second"}},
		"name of flag":  {"samples-per-second: 1", []string{"samples-per-second"}},
		"no number":     {"samples_per_second: many", []string{"samples_per_second"}},
		"no bytes":      {"unwind_table_bytes: 1XB", []string{`"1XB" is not a number of bytes`}},
		"no duration":   {"reporter_interval: soon", []string{"reporter_interval"}},
		"bare duration": {"reporter_interval: 5", []string{"reporter_interval: is 5ns, must be 100ms to 1h"}},
		"no process":    {"include_pid: [0]", []string{"include_pid: 0 is not the ID of a process"}},
		"negative":      {"exclude_pid: [-1]", []string{"exclude_pid"}},
		"tag":           {"tags: {a: ''}", []string{"tags"}},
		"ranges": {"{samples_per_second: 0, reporter_jitter: 2, unwind_table_bytes: 1, queue_bytes: 1, include_cgroup: ['['], env_vars: ['a=b'], host_id: 'a b'}", []string{
			"samples_per_second: is 0, must be 1 to 1000", "reporter_jitter: is 2, must be 0 to 1", "unwind_table_bytes: is 1, must be 1MiB to 1GiB",
			"queue_bytes: is 1, must be 1MiB to 1GiB", `include_cgroup: "[" is not a pattern`, "env_vars", "host_id",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(t, test.text)
			if err == nil {
				t.Fatal("taken")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestDefaultsOfEmbedder(t *testing.T) {
	t.Parallel()
	f := NewFactory(WithDefaults(func(c *Config) { c.SamplesPerSecond = 97 }))
	if c, ok := f.CreateDefaultConfig().(*Config); !ok || c.SamplesPerSecond != 97 {
		t.Errorf("the default configuration is %+v", c)
	}
}

// documentedSetting is a row of the table of settings: name and default.
var documentedSetting = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (?:`([^`]*)`)? ?\\|")

func TestDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/collector.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range documentedSetting.FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = row[2]
	}
	have := map[string]string{}
	var add func(v reflect.Value)
	add = func(v reflect.Value) {
		for field, value := range v.Fields() {
			switch name := field.Tag.Get("mapstructure"); {
			case name == ",squash":
				add(value)
			case value.Kind() == reflect.Slice:
				have[name] = "[]"
			case value.Kind() == reflect.Map:
				have[name] = "{}"
			default:
				have[name] = fmt.Sprint(value)
			}
		}
	}
	add(reflect.ValueOf(*defaultConfig()))
	if diff := cmp.Diff(have, documented); diff != "" {
		t.Errorf("docs/collector.md (-code +docs):\n%s", diff)
	}
}
