// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/agent/internal/confine"
	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// TestAfterTheDrop judges programs that start when the agent has given up all
// privileges that it does not need: eBPF programs of runtimes are loaded then, files
// are found that are deleted or in another root, and memory of interpreters is read.
func TestAfterTheDrop(t *testing.T) {
	skip.UnlessRoot(t)
	grpcAddress, httpAddress, agentHTTP := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t)
	s := startServer(t, t.TempDir(), grpcAddress, httpAddress)
	// Nothing that runs already may have its runtime's program loaded before.
	agent := startService(t, "agent", "-verbose", "-collection-agent", grpcAddress, "-http-address", agentHTTP,
		"-samples-per-second", "199", "-reporter-interval", "300ms")
	eventually(t, "profiling", func(ctx context.Context) bool { return program.Get(ctx, "http://"+agentHTTP+"/-/ready") != "" })
	checkPrivileges(t, agent.Process.Pid)
	expected, err := tracertest.Expectations()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"c-deleted", "c-chroot", "go-plain", "py", "node", "java17", "ruby", "php"} {
		t.Run(name, func(t *testing.T) {
			e := expected[name]
			pid := tracertest.Start(t, name, lifetime)
			if e.Warm > 0 { // the subject changes by the clock, as its sources say
				<-time.After(time.Duration(e.Warm * float64(time.Second)))
			}
			// The first samples of a runtime are taken before its program is loaded, and
			// on a busy host that takes its time.
			if !strings.HasPrefix(name, "c-") {
				attached := regexp.MustCompile(`msg="runtime attached" .*pid=` + strconv.Itoa(pid) + `\n`)
				eventually(t, "runtime of "+name, func(context.Context) bool { return attached.MatchString(agent.Log()) })
			}
			selector := `{pid="` + strconv.Itoa(pid) + `"}`
			eventually(t, "first samples of "+name, func(ctx context.Context) bool { return s.samples(ctx, selector) >= 100 })
			query := url.Values{"query": {selector}, "from": {strconv.FormatInt(time.Now().UnixMilli(), 10)}, "group_by": {"comm"}}
			var folded string
			eventually(t, "samples of "+name, func(ctx context.Context) bool {
				folded = program.Get(ctx, s.http+"/api/v1/folded?"+query.Encode())
				return samplesIn(folded) >= 400
			})
			path := filepath.Join(t.TempDir(), "folded")
			if err := os.WriteFile(path, []byte(folded), 0o600); err != nil {
				t.Fatal(err)
			}
			judge(t, e, path, agent.Log())
		})
	}
	checkPrivileges(t, agent.Process.Pid)
}

// TestOTLPAfterTheDrop delivers over TLS and with a token to a server that is there only
// when the agents have given up their privileges: names are resolved, certificates are
// verified and the token is read then.
func TestOTLPAfterTheDrop(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	burner(t)
	data := t.TempDir()
	create := exec.Command(filepath.Join(bin, "collectionagent"), "token", "create", "-project", "default", "-role", "ingest", "-data-dir", data)
	token, err := create.Output() // the hints for people are on standard error
	if err != nil {
		t.Fatal(err)
	}
	tokenFile, ca := filepath.Join(t.TempDir(), "token"), filepath.Join(data, "tls", "ca.pem")
	if err := os.WriteFile(tokenFile, token, 0o600); err != nil {
		t.Fatal(err)
	}
	port := func() string {
		_, port, err := net.SplitHostPort(program.FreeAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	grpcPort, httpPort := port(), port()
	serve := func() *program.Running {
		// Where others can reach it, it has TLS and wants tokens.
		s := startService(t, "collectionagent", "-data-dir", data, "-grpc-address", "0.0.0.0:"+grpcPort, "-http-address", "0.0.0.0:"+httpPort)
		eventually(t, "collection agent", func(context.Context) bool {
			c, err := net.Dial("tcp", "127.0.0.1:"+httpPort)
			return err == nil && c.Close() == nil
		})
		return s
	}
	serve().Stop() // it made its certificate

	pages := map[string]string{}
	for protocol, port := range map[string]string{"grpc": grpcPort, "http/protobuf": httpPort} {
		pages[protocol] = program.FreeAddress(t)
		agent := startService(t, "agent", "-exporter", "otlp", "-otlp-protocol", protocol, "-otlp-endpoint", "https://localhost:"+port,
			"-tls-ca", ca, "-token-file", tokenFile, "-http-address", pages[protocol], "-samples-per-second", "99", "-reporter-interval", "300ms")
		eventually(t, "profiling", func(ctx context.Context) bool { return program.Get(ctx, "http://"+pages[protocol]+"/-/ready") != "" })
		checkPrivileges(t, agent.Process.Pid)
	}
	serve()
	for protocol, page := range pages {
		// The state is that of the last flush as a whole, so it comes after the first acknowledgement.
		eventually(t, "delivery by "+protocol, func(ctx context.Context) bool {
			s := program.Get(ctx, "http://"+page+"/status")
			return readLedger(ctx, page).Delivery.Stored > 100 &&
				strings.Contains(s, `"encrypted": true`) && strings.Contains(s, `"state": "connected"`)
		})
	}
}

// samplesIn sums up the numbers of folded stacks.
func samplesIn(folded string) (sum int) {
	for line := range strings.Lines(folded) {
		n, _ := strconv.Atoi(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]))
		sum += n
	}
	return sum
}

// checkPrivileges looks at all threads of the agent.
func checkPrivileges(t *testing.T, pid int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
	if err != nil || len(tasks) < 2 {
		t.Fatalf("threads %v, %v", tasks, err)
	}
	needed := strconv.FormatUint(uint64(confine.Needed), 16)
	for _, task := range tasks {
		b, err := os.ReadFile(task) //nolint:gosec // our own
		if err != nil {
			continue // it ended
		}
		values := map[string]string{}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			values[name] = strings.TrimSpace(value)
		}
		for name, want := range map[string]string{
			"CapPrm": needed, "CapEff": needed, "CapBnd": needed, "CapInh": "", "CapAmb": "", "NoNewPrivs": "1", "Umask": "0077",
		} {
			if got := strings.TrimLeft(values[name], "0"); got != strings.TrimLeft(want, "0") {
				t.Errorf("%s: %s is %q, want %q", task, name, values[name], want)
			}
		}
	}
}
