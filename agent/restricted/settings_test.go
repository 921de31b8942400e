// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/agent/internal/confine"
	"github.com/strobe-profiler/strobe/support/dockertest"
)

// TestSettings holds docs/privileges.md and docker-compose.yml against what the agent needs; package
// confine does so with the unit of systemd.
func TestSettings(t *testing.T) {
	t.Parallel()
	privileges, err := os.ReadFile("../../docs/privileges.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range confine.Needed.Names() {
		if !strings.Contains(string(privileges), "| `"+c+"` |") {
			t.Errorf("docs/privileges.md does not say what %s is for", c)
		}
	}
	for name, s := range dockertest.Services(t, "../../docker-compose.yml") {
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
