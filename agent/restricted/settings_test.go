// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/strobe-profiler/strobe/agent/internal/confine"
)

// TestSettings holds what is shipped against what the agent needs.
func TestSettings(t *testing.T) {
	t.Parallel()
	needed := confine.Needed.Names()
	slices.Sort(needed)
	read := func(path string) string {
		b, err := os.ReadFile("../../" + path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for line := range strings.Lines(read("support/systemd/strobe-agent.service")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key != "AmbientCapabilities" && key != "CapabilityBoundingSet" {
			continue
		}
		// CAP_SYS_ADMIN is for the start only: the unit says why.
		got := slices.DeleteFunc(strings.Fields(value), func(c string) bool { return c == "CAP_SYS_ADMIN" })
		slices.Sort(got)
		if !slices.Equal(got, needed) {
			t.Errorf("unit of systemd: %s are %v, want %v", key, got, needed)
		}
	}
	for _, c := range needed {
		if !strings.Contains(read("docs/privileges.md"), "| `"+c+"` |") {
			t.Errorf("docs/privileges.md does not say what %s is for", c)
		}
	}
	var compose struct {
		Services map[string]struct {
			CapAdd     []string `yaml:"cap_add"`
			Privileged bool
			PID        string
		}
	}
	if err := yaml.Unmarshal([]byte(read("docker-compose.yml")), &compose); err != nil {
		t.Fatal(err)
	}
	for name, s := range compose.Services {
		if len(s.CapAdd) == 0 && !s.Privileged {
			continue
		}
		has := func(names ...string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(s.CapAdd, n) || slices.Contains(s.CapAdd, "CAP_"+n) })
		}
		if s.Privileged || s.PID != "host" {
			t.Errorf("docker-compose.yml: %s: privileged %v, pid %q", name, s.Privileged, s.PID)
		}
		for _, stands := range [][]string{{"BPF", "SYS_ADMIN"}, {"PERFMON", "SYS_ADMIN"}, {"CHECKPOINT_RESTORE", "SYS_ADMIN"}, {"SYS_PTRACE"}, {"SYSLOG"}, {"DAC_READ_SEARCH", "DAC_OVERRIDE"}} {
			if !has(stands...) {
				t.Errorf("docker-compose.yml: %s has none of %v", name, stands)
			}
		}
	}
}
