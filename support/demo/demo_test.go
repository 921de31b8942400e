// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/dockertest"
	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/skip"
)

// languages are the folders of bin/demo with a root.tar.
var languages = []string{"python", "node", "java", "ruby"}

// TestInstallWithDocker does what docs/install.md and docs/demo.md say, in an engine of its own: a
// fresh clone comes up healthy, its functions are found by container and by service, and nothing
// is left when it is down.
func TestInstallWithDocker(t *testing.T) {
	d := dockertest.Start(t)
	if _, err := exec.LookPath("docker-compose"); err != nil {
		skip.Because(t, "needs docker-compose")
	}
	doc := doctest.Open(t, "docs/install.md", "Docker")
	root := doctest.Root(t)
	dir := t.TempDir()
	s := &stack{t: t, engine: d, dir: filepath.Join(dir, "strobe")}
	sh := doc.Shell(t, doctest.Options{
		Dir: dir,
		Env: []string{
			"DOCKER_HOST=unix://" + d.Socket, "DOCKER_SOCKET=" + d.Socket, "DOCKER_CONTEXT=",
			// The repository may belong to somebody else than root.
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		},
		Replace: map[string]string{
			"git clone https://github.com/strobe-profiler/strobe\ncd strobe\n": "git clone " + root + " strobe\ncd strobe\n" + reuse(root),
			"bin/strobectl": strings.Join(d.Command(t.Context(), "bin/strobectl").Args, " "),
		},
	})

	sh.Run(doc.Block(0))
	keep(t, s.dir, root)
	up := doc.Block(1)
	sh.Run(up)
	t.Cleanup(func() { // if the test does not get to the end
		if t.Failed() {
			s.logs()
		}
	})
	s.waitHealthy()
	sh.RunUntil(doc.Block(2), nil)

	for _, f := range s.functions() {
		s.waitFunction("container.name", f.container, f.function)
		s.waitFunction("service", f.service, f.function)
	}
	s.waitBursts("thumbnails")

	for _, section := range []*doctest.Section{
		doctest.Open(t, "docs/demo.md", "Where the time goes"),
		doctest.Open(t, "docs/demo.md", "The slow endpoint"),
	} {
		sh.RunSection(section)
	}
	remedy := doctest.Open(t, "docs/demo.md", "Before and after")
	sh.Run(remedy.Block(0))
	// What all of its handlers run in: what replaced the slow function takes too little to wait for.
	s.waitFunction("service.version", "1.1", "net/http.(*conn).serve")
	sh.RunUntil(remedy.Block(1), func(out string) bool { return strings.Contains(out, "main.editDistance") })
	sh.RunSection(doctest.Open(t, "docs/demo.md", "The noisy neighbour"))

	sh.Run(doc.Block(3))
	for _, list := range [][]string{
		{"ps", "-aq"}, {"volume", "ls", "-q"}, {"network", "ls", "-q", "--filter", "type=custom"},
	} {
		if left := d.Run(t, "docker", list...); left != "" {
			t.Errorf("docker %s, after docker-compose down: %s", strings.Join(list, " "), left)
		}
	}
}

// reuse is the commands that copy what an earlier run has packed, so that it is not fetched again.
func reuse(root string) string {
	var commands strings.Builder
	for _, language := range languages {
		if _, err := os.Stat(filepath.Join(root, "bin/demo", language, "root.tar")); err == nil {
			fmt.Fprintf(&commands, "mkdir -p bin/demo/%[1]s && cp %[2]s/bin/demo/%[1]s/root.tar bin/demo/%[1]s/\n", language, root)
		}
	}
	return commands.String()
}

// keep copies what this run has packed for the next one.
func keep(t *testing.T, clone, root string) {
	t.Helper()
	for _, language := range languages {
		packed := filepath.Join(root, "bin/demo", language, "root.tar")
		if _, err := os.Stat(packed); err == nil || without(t, clone, language) != "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(packed), 0o755); err != nil { //nolint:gosec // for everyone
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", filepath.Join(clone, "bin/demo", language, "root.tar"), packed).CombinedOutput(); err != nil { //nolint:gosec // from the list above
			t.Fatalf("keep %s: %v\n%s", language, err, out)
		}
	}
}

// without returns why a language could not be packed, or "".
func without(t *testing.T, clone, language string) string {
	t.Helper()
	var reason bytes.Buffer
	cmd := exec.Command("tar", "-xOf", filepath.Join(clone, "bin/demo", language, "root.tar"), "WITHOUT") //nolint:gosec // from the list above
	cmd.Stdout = &reason
	if cmd.Run() != nil {
		return ""
	}
	return strings.TrimSpace(reason.String())
}

// stack is the containers of docker-compose.yml.
type stack struct {
	t      *testing.T
	engine *dockertest.Daemon
	dir    string // of the clone
}

// wanted is a function that has to be found.
type wanted struct{ container, service, function string }

// functions returns what runs in the stack: what was left out of an image is not there.
func (s *stack) functions() []wanted {
	s.t.Helper()
	all := []wanted{
		{"shop-catalog", "catalog", "main.editDistance"},
		{"shop-gateway", "gateway", "main.(*gateway).ask"},
		{"noisy-neighbour", "thumbnails", "main.shrink"},
	}
	for language, f := range map[string]wanted{
		"python": {"shop-reviews", "reviews", "score_review"},
		"node":   {"shop-recommend", "recommend", "mostSimilar"},
		"java":   {"shop-checkout", "checkout", "Checkout.sealReceipt"},
		"ruby":   {"shop-mail", "mail", "quoted_printable"},
	} {
		switch reason := without(s.t, s.dir, language); {
		case reason != "":
			skip.Because(s.t, "the demo goes without "+language+": "+reason)
		default:
			all = append(all, f)
		}
	}
	return all
}

// waitHealthy waits until all containers run, and are healthy where they can tell.
func (s *stack) waitHealthy() {
	s.t.Helper()
	s.eventually("a healthy stack", func(context.Context) (bool, string) {
		ids := strings.Fields(s.engine.Run(s.t, "docker", "ps", "-aq"))
		states := s.engine.Run(s.t, "docker", append([]string{
			"inspect", "--format", "{{.Name}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}} {{.RestartCount}}",
		}, ids...)...)
		ok := len(ids) == 10
		for line := range strings.Lines(states) {
			ok = ok && (strings.Contains(line, "running healthy") || strings.Contains(line, "running -"))
		}
		return ok, states
	})
}

// waitFunction waits until a function is found under the value of a label.
func (s *stack) waitFunction(label, value, function string) {
	s.t.Helper()
	s.eventually(function+" with "+label+"="+value, func(ctx context.Context) (bool, string) {
		var top struct {
			Rows []struct{ Name string }
		}
		body := s.get(ctx, "top", url.Values{
			"query": {fmt.Sprintf("{%s=%q}", label, value)}, "limit": {"1000"}, "sort": {"total"},
		}, &top)
		// Runtimes put the names of files, arguments and the like around the name.
		return slices.ContainsFunc(top.Rows, func(row struct{ Name string }) bool {
			return strings.Contains(row.Name, function)
		}), body
	})
}

// waitBursts waits until a service was seen to work in some seconds and not in others.
func (s *stack) waitBursts(service string) {
	s.t.Helper()
	s.eventually("bursts of "+service, func(ctx context.Context) (bool, string) {
		var timeline struct{ Series []struct{ Values []int64 } }
		body := s.get(ctx, "timeline", url.Values{
			"query": {fmt.Sprintf("{service=%q}", service)}, "step": {"1s"}, "from": {"now-1m"}, "to": {"now-10s"},
		}, &timeline)
		busy, idle := 0, 0
		for _, series := range timeline.Series {
			for _, v := range series.Values {
				if v > 0 { // how much depends on who else wants the CPUs
					busy++
				} else {
					idle++
				}
			}
		}
		return busy >= 3 && idle > busy, body
	})
}

// get asks the API and returns the answer's text, too.
func (s *stack) get(ctx context.Context, endpoint string, query url.Values, answer any) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:7070/api/v1/"+endpoint+"?"+query.Encode(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := s.engine.Client().Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Sprintf("%s: %v", body, err)
	}
	return string(body[:min(len(body), 4000)])
}

func (s *stack) eventually(what string, ok func(context.Context) (bool, string)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		done, seen := ok(ctx)
		if done {
			return
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			s.t.Fatalf("no %s; last seen:\n%s", what, seen)
		}
	}
}

// logs prints what the containers say, for a test that has failed.
func (s *stack) logs() {
	cmd := exec.Command("docker-compose", "logs", "--no-color", "--tail", "20")
	cmd.Dir, cmd.Env = s.dir, append(s.engine.Env(), "DOCKER_SOCKET="+s.engine.Socket)
	out, err := cmd.CombinedOutput()
	s.t.Logf("docker-compose logs (%v):\n%s", err, out)
}
