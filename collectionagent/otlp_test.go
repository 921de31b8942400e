// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
)

// TestOTLPToFlameGraph sends profiles of OTLP with a token and asks for their flame graph.
func TestOTLPToFlameGraph(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := workload.Default()
	c.Stacks = 200
	request, samples, _ := workload.New(c).OTLP(0, 0, time.Now().Add(-time.Minute).UnixNano(), true)
	if samples == 0 {
		t.Fatal("no samples")
	}
	answer, err := collector.NewProfilesServiceClient(r.conn).Export(r.with(r.tokens["blue ingest"]), request)
	if err != nil || answer.PartialSuccess != nil {
		t.Fatal(answer, err)
	}
	const question = "/api/v1/flamegraph?type=on_cpu&from=now-1h&to=now%2B1h&query="
	resp, body := r.do(http.MethodGet, r.url+question+"%7Bservice%3D%22shop-cart-00%22%2Chost%3D%22host-0000%22%2Cnamespace%3D%22shop%22%7D", r.tokens["blue query"])
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, "github.com/acme/shop-cart-00/internal/pkg00.(*Handler).Process000") {
		t.Errorf("%d: %.500s", resp.StatusCode, body)
	}
	if _, body = r.do(http.MethodGet, r.url+question, r.tokens["red query"]); strings.Contains(body, "acme") {
		t.Errorf("another project sees it: %.200s", body)
	}
}
