// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// TestTwinsNeverMerge has a Python program whose stacks are easily taken for
// each other profiled through the whole pipeline, from the kernel to the flame
// graph: same names on same lines of different files, and functions that take
// each other's place in memory.
func TestTwinsNeverMerge(t *testing.T) {
	skip.UnlessRoot(t)
	python, err := exec.LookPath("python3")
	if err != nil {
		skip.Because(t, "needs python3")
	}
	grpcAddress, httpAddress, agentHTTP := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t)
	s := startServer(t, t.TempDir(), grpcAddress, httpAddress)
	startService(t, "agent", "-collection-agent", grpcAddress, "-http-address", agentHTTP,
		"-samples-per-second", "499", "-reporter-interval", "500ms")
	eventually(t, "profiling", func(ctx context.Context) bool { return program.Get(ctx, "http://"+agentHTTP+"/-/ready") != "" })
	cmd := exec.CommandContext(t.Context(), python, "testdata/twins/twins.py", strconv.Itoa(lifetime)) //nolint:gosec // found above
	cmd.Env = append(os.Environ(), "OTEL_SERVICE_NAME=twins")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	const selector = `{service="twins"}`
	eventually(t, "samples", func(ctx context.Context) bool { return s.samples(ctx, selector) >= 5000 })
	query := url.Values{"query": {selector}, "from": {"now-1h"}, "fold": {"interpreter"}, "max_nodes": {"100000"}}
	values := pythonPaths(t, program.Get(t.Context(), s.http+"/api/v1/flamegraph?"+query.Encode()))

	want := map[string]float64{
		"left@twins.py;work@twin_a.py;burn@burn.py":  0.4,
		"right@twins.py;work@twin_b.py;burn@burn.py": 0.3,
		"brew@twins.py;tea@<brewed>;burn@burn.py":    0.2,
		"brew@twins.py;oil@<brewed>;burn@burn.py":    0.1,
	}
	var all float64
	for _, v := range values {
		all += v
	}
	for chain, share := range want {
		if got := values[chain] / all; math.Abs(got-share) > 0.05 {
			t.Errorf("%s has %.1f %%, want %.0f", chain, got*100, share*100)
		}
	}
	// What ends in burn must be one of the four: anything else is a stack that was
	// put together from two.
	// A function that is gone before its name is read leaves a frame that says so.
	for chain, v := range values {
		_, ok := want[chain]
		gone := strings.HasPrefix(chain, "brew@twins.py;error") && v < all/20
		if !ok && !gone && strings.HasSuffix(chain, ";burn@burn.py") {
			t.Errorf("%s has %.2f %% and cannot be", chain, v/all*100)
		}
	}
	if t.Failed() {
		t.Logf("%v", values)
	}
}

// pythonPaths sums what a flame graph says by the innermost Python frames below
// main: "function@file" from the outside in, at most three.
func pythonPaths(t *testing.T, answer string) map[string]float64 {
	t.Helper()
	var g struct {
		Strings []string `json:"strings"`
		Frames  struct {
			Name, File, Kind []int
		} `json:"frames"`
		Nodes struct {
			Frame, Depth []int
			Self         []float64
		} `json:"nodes"`
	}
	if err := json.Unmarshal([]byte(answer), &g); err != nil {
		t.Fatalf("%v: %.500s", err, answer)
	}
	out := map[string]float64{}
	var open []int
	for i, frame := range g.Nodes.Frame {
		open = append(open[:g.Nodes.Depth[i]], frame)
		if g.Nodes.Self[i] == 0 {
			continue
		}
		var chain []string
		for _, f := range open {
			switch g.Strings[g.Frames.Kind[f]] {
			case "python":
				chain = append(chain, g.Strings[g.Frames.Name[f]]+"@"+path.Base(g.Strings[g.Frames.File[f]]))
			case "error":
				chain = append(chain, "error")
			}
		}
		if n := slices.IndexFunc(chain, func(s string) bool { return strings.HasPrefix(s, "main@") }); n >= 0 {
			chain = chain[n+1:]
		}
		if len(chain) > 0 {
			out[strings.Join(chain[:min(3, len(chain))], ";")] += g.Nodes.Self[i]
		}
	}
	return out
}
