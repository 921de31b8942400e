// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// burnVar makes the test binary the program that is profiled.
const burnVar = "STROBE_COLLECTOR_BURN"

var sink float64

func TestMain(m *testing.M) {
	if os.Getenv(burnVar) != "" {
		for {
			burn()
		}
	}
	os.Exit(m.Run())
}

//go:noinline
func burn() {
	for i := range 100_000 {
		sink += math.Sqrt(float64(i))
	}
}

// build builds a package of the module in a directory.
func build(t *testing.T, dir, pkg, out string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-ldflags", "-X main.version=v0.0.1-test", "-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, text)
	}
}

// run starts a program and returns a function that stops it with SIGTERM.
func run(t *testing.T, env []string, path string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	return program.Start(t, cmd).Stop
}

// eventually waits until something is good.
func eventually(t *testing.T, what string, good func(ctx context.Context) bool) {
	t.Helper()
	program.Eventually(t, 2*time.Minute, what, good)
}

// TestProfile profiles a program with the built distribution, which sends to a
// collection agent, and asks that for what was found. It needs root.
func TestProfile(t *testing.T) {
	skip.UnlessRoot(t)
	bin := t.TempDir()
	collector, agent := filepath.Join(bin, "otelcol-strobe"), filepath.Join(bin, "collectionagent")
	build(t, ".", ".", collector)
	build(t, "../..", "./collectionagent", agent)
	if out, err := exec.Command(collector, "--version").Output(); err != nil || !strings.Contains(string(out), "v0.0.1-test") {
		t.Errorf("version %q, %v", out, err)
	}

	grpcAddress, httpAddress, metrics := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t)
	stopAgent := run(t, nil, agent, "-data-dir", t.TempDir(), "-grpc-address", grpcAddress, "-http-address", httpAddress)
	eventually(t, "collection agent", func(ctx context.Context) bool { return program.Get(ctx, "http://"+httpAddress+"/-/ready") != "" })
	run(t, []string{burnVar + "=1", "OTEL_SERVICE_NAME=busy", "OTEL_RESOURCE_ATTRIBUTES=team=blue"}, os.Args[0])
	metricsHost, metricsPort, _ := net.SplitHostPort(metrics)
	stop := run(t, []string{"COLLECTION_AGENT=" + grpcAddress}, collector, "--config", writeConfig(t, fmt.Sprintf(`
receivers:
  strobe: {samples_per_second: 99, reporter_interval: 500ms, host_name: col-host, tags: {suite: collector}}
exporters:
  otlp_grpc: {endpoint: "${env:COLLECTION_AGENT}", tls: {insecure: true}}
service:
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: %s, port: %s}}}}]}}
  pipelines: {profiles: {receivers: [strobe], exporters: [otlp_grpc]}}
`, metricsHost, metricsPort)))

	folded := func(ctx context.Context) string {
		selector := fmt.Sprintf(`{service="busy",host="col-host",suite="collector",team="blue",executable=~".*/%s"}`, filepath.Base(os.Args[0]))
		query := url.Values{"query": {selector}, "from": {"now-10m"}}
		return program.Get(ctx, "http://"+httpAddress+"/api/v1/folded?"+query.Encode())
	}
	const function = "collector/distribution.burn"
	eventually(t, "profile of the program", func(ctx context.Context) bool { return strings.Contains(folded(ctx), function) })
	// The profile is there before the Collector knows that it was taken.
	for _, want := range []string{"strobe_receiver_captured_samples", "strobe_receiver_delivered_samples", "otelcol_receiver_accepted_profile_samples", "strobe_agent_kernel_events"} {
		eventually(t, "metric "+want, func(ctx context.Context) bool {
			return strings.Contains(program.Get(ctx, "http://"+metrics+"/metrics"), want)
		})
	}
	stop()
	stopAgent()
}
