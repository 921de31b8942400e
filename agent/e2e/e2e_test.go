// SPDX-License-Identifier: Apache-2.0

// Package e2e runs the real binaries on this host, with eBPF and all. It needs
// root and a kernel that "agent doctor" finds good.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// burnVar makes the test binary the program that is profiled.
const burnVar = "STROBE_E2E_BURN"

var (
	bin  string // where the binaries are
	sink float64
)

func TestMain(m *testing.M) {
	if os.Getenv(burnVar) != "" {
		burnOuter()
		return
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "strobe-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a test
	bin = dir
	if err := program.Build(dir, "agent", "collectionagent", "strobectl"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	tracertest.KeepBuilds(filepath.Join(dir, "subjects"))
	return m.Run()
}

//go:noinline
func burnOuter() { burnMiddle(); sink++ }

//go:noinline
func burnMiddle() {
	for {
		burnInner()
		sink++
	}
}

//go:noinline
func burnInner() {
	for i := range 100_000 {
		sink += math.Sqrt(float64(i))
	}
}

// chain must stand in every stack of the burning thread, root to leaf.
const chain = "e2e.burnOuter;github.com/strobe-profiler/strobe/agent/e2e.burnMiddle;github.com/strobe-profiler/strobe/agent/e2e.burnInner"

// burner starts a program with a known stack.
func burner(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), burnVar+"=1", "OTEL_SERVICE_NAME=e2e-burner")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// share returns which part of the samples of folded stacks holds a text.
func share(t *testing.T, folded, text string) (part float64, total int) {
	t.Helper()
	with := 0
	for line := range strings.Lines(folded) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		n, err := strconv.Atoi(line[i+1:])
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		total += n
		if strings.Contains(line[:i], text) {
			with += n
		}
	}
	return float64(with) / float64(max(1, total)), total
}

func runAgent(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "agent"), args...)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		t.Fatalf("agent %q: %v\n%s", args, err, messages.String())
	}
	return out.String(), messages.String()
}

func TestRecordProcess(t *testing.T) {
	cmd := burner(t)
	out, messages := runAgent(t, "record", "-p", strconv.Itoa(cmd.Process.Pid), "-d", "6s", "-F", "199", "-format", "folded", "-o", "-")
	part, total := share(t, out, chain)
	if total < 50 || part < 0.9 {
		t.Errorf("%d samples, %.0f %% with the known stack\n%s\n%s", total, part*100, messages, out)
	}
	if !strings.Contains(messages, "wrote standard output: ") {
		t.Errorf("summary %q", messages)
	}
}

func TestRecordCommand(t *testing.T) {
	t.Setenv(burnVar, "1")
	// The start of the program is recorded, too, and takes as much CPU on a host that gives it little.
	out, messages := runAgent(t, "record", "-d", "6", "-F", "199", "-o", "-", "--", os.Args[0])
	if part, total := share(t, out, chain); total < 50 || part < 0.9 {
		t.Errorf("%d samples, %.0f %% with the known stack\n%s\n%s", total, part*100, messages, out)
	}
}

func TestRecordEndsWithItsTarget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.folded")
	_, messages := runAgent(t, "record", "-F", "99", "-o", path, "--", "sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, total := share(t, string(b), ""); total == 0 {
		t.Errorf("no samples: %s", messages)
	}
}

// startService starts one of the binaries by its name, or another program by its path.
func startService(t testing.TB, name string, args ...string) *program.Running {
	t.Helper()
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(bin, name)
	}
	cmd := exec.Command(path, args...)
	// No test may find in the agent's spool what another one left.
	cmd.Env = append(os.Environ(), "STROBE_AGENT_SPOOL_DIR="+filepath.Join(t.TempDir(), "spool"))
	return program.Start(t, cmd)
}

// patience only ends what hangs: a busy host may take many times as long as an idle one.
const patience = 5 * time.Minute

// lifetime is for how many seconds a subject runs that nobody ends before: longer than it is waited for.
const lifetime = 900

// eventually asks until the answer is good.
func eventually(t testing.TB, what string, good func(ctx context.Context) bool) {
	t.Helper()
	program.Eventually(t, patience, what, good)
}

// TestPipeline starts the agent while there is no collection agent, then takes
// the collection agent away under load, and looks at what arrives.
func TestPipeline(t *testing.T) {
	burner(t)
	grpcAddress, serverHTTP, agentHTTP := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t)
	data := t.TempDir()
	agent := startService(t, "agent", "-collection-agent", grpcAddress, "-http-address", agentHTTP,
		"-samples-per-second", "99", "-reporter-interval", "500ms", "-tags", "suite=e2e", "-host-name", "e2e-host")
	eventually(t, "profiling", func(ctx context.Context) bool { return program.Get(ctx, "http://"+agentHTTP+"/-/ready") != "" })

	startServer := func() *program.Running {
		s := startService(t, "collectionagent", "-data-dir", data, "-grpc-address", grpcAddress, "-http-address", serverHTTP)
		eventually(t, "collection agent", func(ctx context.Context) bool { return program.Get(ctx, "http://"+serverHTTP+"/-/ready") != "" })
		return s
	}
	folded := func(ctx context.Context) (string, float64, int) {
		query := url.Values{"query": {`{service="e2e-burner",suite="e2e",host="e2e-host"}`}, "from": {"now-10m"}}
		answer := program.Get(ctx, "http://"+serverHTTP+"/api/v1/folded?"+query.Encode())
		part, total := share(t, answer, chain)
		return answer, part, total
	}
	server := startServer()
	before := 0
	eventually(t, "samples", func(ctx context.Context) bool {
		_, _, before = folded(ctx)
		return before >= 100
	})
	server.Kill()
	server = startServer()
	eventually(t, "samples after a restart", func(ctx context.Context) bool {
		_, _, total := folded(ctx)
		return total >= before+100
	})
	// The state is that of the last flush as a whole, so it comes after the first acknowledgement.
	eventually(t, "connection", func(ctx context.Context) bool {
		return strings.Contains(program.Get(ctx, "http://"+agentHTTP+"/status"), `"state": "connected"`)
	})
	agent.Stop()
	answer, part, total := folded(t.Context())
	if part < 0.9 {
		t.Errorf("%d samples, %.0f %% with the known stack\n%s", total, part*100, answer)
	}
	server.Stop()
}
