// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/dockertest"
	"github.com/strobe-profiler/strobe/support/program"
)

// TestContainerNames profiles a container from within another one that has a cgroup
// namespace of its own, and finds its function by the name of the container.
func TestContainerNames(t *testing.T) {
	engine := dockertest.Start(t)
	engine.Build(t, "names/agent", "../../agent")
	engine.Build(t, "names/collectionagent", "../../collectionagent")
	engine.Build(t, "names/busy:7", "../../internal/containers/testdata/busy")
	run := func(args ...string) {
		engine.Run(t, "docker", append([]string{"run", "-d", "--network", "host"}, args...)...)
	}
	run("--name", "server", "--tmpfs", "/data", "names/collectionagent", "-data-dir", "/data",
		"-grpc-address", "127.0.0.1:11000", "-http-address", "127.0.0.1:7070")
	run("--name", "agent", "--cap-drop", "ALL", "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "SYSLOG",
		"--cap-add", "DAC_READ_SEARCH", "--security-opt", "seccomp=unconfined", "--pid", "host", "--cgroupns", "private",
		"-v", engine.Socket+":/run/docker.sock", "names/agent", "-spool-dir", "off", "-container-labels", "team")
	run("--name", "noisy", "--cgroupns", "private", "-l", "team=a", "-l", "com.docker.compose.project=shop",
		"-l", "com.docker.compose.service=neighbour", "names/busy:7")

	query := `{container.name="noisy",service="neighbour",compose.project="shop",container.image.name="names/busy",container.image.tag="7",container.label.team="a"}`
	var found, values string
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := engine.Command(context.Background(), "docker", "logs", "agent").CombinedOutput()
			t.Logf("found by the name of the container: %s\nvalues: %s\nagent: %s", found, values, logs)
		}
	})
	program.Eventually(t, 4*time.Minute, "function by the name of the container", func(ctx context.Context) bool {
		found = askEngine(ctx, engine, "/api/v1/top?from=now-1h&query="+url.QueryEscape(query))
		return strings.Contains(found, "main.spinForTheTest")
	})
	// The agent's own container, whose cgroup it sees as "/".
	program.Eventually(t, 4*time.Minute, "container of the agent", func(ctx context.Context) bool {
		values = askEngine(ctx, engine, "/api/v1/labels/container.name/values?from=now-1h")
		return strings.Contains(values, `"agent"`)
	})
	t.Run("filter", func(t *testing.T) { judgeFilter(t, engine) })
}

// askEngine returns an answer of the server, or why there is none.
func askEngine(ctx context.Context, engine *dockertest.Daemon, path string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:7070"+path, http.NoBody)
	if err != nil {
		return err.Error()
	}
	answer, err := engine.Client().Do(r)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
