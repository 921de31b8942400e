// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// collectorVar names a Collector that was built before, as "make collector" does.
const collectorVar = "STROBE_E2E_COLLECTOR"

// distribution returns the path of the OpenTelemetry Collector of this project. It is
// built once, and only by the tests that need it.
var distribution = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(collectorVar); path != "" {
		return path, nil
	}
	path := filepath.Join(bin, "otelcol-strobe")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = "../../collector/distribution"
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the Collector: %w\n%s", err, out)
	}
	return path, nil
})

// startCollector starts a Collector whose profiles come from a receiver and go to the
// collection agent at an address. Both receiver and its configuration are YAML. The time
// limit of a request is long: what is sent again because a busy host was late is stored twice.
func startCollector(t *testing.T, receiver, configuration, to string) *program.Running {
	t.Helper()
	path, err := distribution()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "collector.yaml")
	text := fmt.Sprintf(`receivers:
  %s:
%s
exporters:
  otlp_grpc:
    endpoint: %s
    tls: {insecure: true}
    timeout: 5m
service:
  telemetry:
    metrics: {level: none}
  pipelines:
    profiles:
      receivers: [%[1]s]
      exporters: [otlp_grpc]
`, receiver, configuration, to)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return startService(t, path, "--config", config)
}

// TestCollectorReceiver profiles this host from inside a Collector, with the receiver of
// this project, and judges what arrives behind it.
func TestCollectorReceiver(t *testing.T) {
	skip.UnlessRoot(t)
	grpcAddress := program.FreeAddress(t)
	s := startServer(t, t.TempDir(), grpcAddress, program.FreeAddress(t))
	collector := startCollector(t, "strobe", "    samples_per_second: 499\n    reporter_interval: 500ms", grpcAddress)
	eventually(t, "samples of the host", func(ctx context.Context) bool { return s.samples(ctx, "{}") > 0 })
	judgeNative(t, s, "c-o2", "go-plain")
	collector.Stop()
}
