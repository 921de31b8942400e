// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// TestPrometheusFiles looks at what docs/prometheus.md ships: promtool takes it, its tests hold, and
// every metric that an alert or a panel names is one that the two programs have.
func TestPrometheusFiles(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	if _, err := exec.LookPath("promtool"); err != nil {
		skip.Because(t, "needs promtool")
	}
	for _, arguments := range [][]string{{"check", "config", "prometheus.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		cmd := exec.Command("promtool", arguments...) //nolint:gosec // from the list above
		cmd.Dir = "../../docs/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
		}
	}

	grpcAddress, httpAddress, agentHTTP := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t)
	s := startServer(t, t.TempDir(), grpcAddress, httpAddress, "-profile-metrics", "../../docs/prometheus/profile-metrics.yaml")
	startService(t, "agent", "-collection-agent", grpcAddress, "-http-address", agentHTTP, "-reporter-interval", "500ms")
	// Of functions there are metrics only once an interval has passed: profilemetrics tests those.
	later := []string{
		"strobe_profile_function_self_ratio", "strobe_profile_function_total_ratio", "strobe_profile_rate",
		"strobe_profile_rule_end_timestamp_seconds",
	}
	name := regexp.MustCompile(`strobe_[a-z0-9_]+`)
	var used []string
	for _, file := range []string{"../../docs/prometheus/alerts.yaml", "../../docs/grafana/strobe.json"} {
		b, err := os.ReadFile(file) //nolint:gosec // from the list above
		if err != nil {
			t.Fatal(err)
		}
		found := name.FindAllString(string(b), -1)
		if len(found) < 10 {
			t.Errorf("%s names %d metrics", file, len(found))
		}
		for _, metric := range found {
			if !slices.Contains(later, metric) {
				used = append(used, metric)
			}
		}
	}
	var missing []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("that alerts or panels name, and that there are not: %q", missing)
		}
	})
	// Some are there only once what they count has happened.
	eventually(t, "metrics of both", func(ctx context.Context) bool {
		_ = program.Get(ctx, s.http+"/api/v1/top?from=nonsense") // a question that is not answered is counted once there is one
		served := program.Get(ctx, s.http+"/metrics") + program.Get(ctx, "http://"+agentHTTP+"/metrics")
		missing = slices.DeleteFunc(slices.Clone(used), func(metric string) bool { return strings.Contains(served, "\n"+metric) })
		return s.samples(ctx, "") > 0 && len(missing) == 0
	})
}
