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

// promise is how long docs/install.md says that it takes at most from nothing to a hot function.
const promise = 5 * time.Minute

// TestInstallWithDocker does what docs/install.md and docs/demo.md say, in an engine of its own that
// has no image, with nothing packed before: a fresh clone shows its hot function in the time that
// was promised, comes up healthy, its functions are found by container and by service, and nothing
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
	env := []string{
		"DOCKER_HOST=unix://" + d.Socket, "DOCKER_SOCKET=" + d.Socket, "DOCKER_CONTEXT=",
		// The repository may belong to somebody else than root.
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}
	strobectl := strings.Join(d.Command(t.Context(), "bin/strobectl").Args, " ")
	t.Cleanup(func() { // if the test does not get to the end
		if t.Failed() {
			s.logs()
		}
	})

	started := time.Now()
	sh := doc.Shell(t, doctest.Options{
		Dir: dir, Env: env, Deadline: started.Add(promise),
		Replace: map[string]string{"https://github.com/strobe-profiler/strobe": root + " strobe", "bin/strobectl": strobectl},
	})
	for i, step := range []string{"cloned, built and packed", "the stack is up"} {
		sh.Run(doc.Block(i))
		t.Logf("%s after %v", step, time.Since(started).Round(time.Second))
	}
	sh.RunUntil(doc.Block(2), nil)
	t.Logf("the hot function was found after %v, promised are %v", time.Since(started).Round(time.Second), promise)

	s.waitHealthy()
	remedy := doctest.Open(t, "docs/demo.md", "Before and after")
	tour := remedy.Shell(t, doctest.Options{Dir: s.dir, Env: env, Replace: map[string]string{"bin/strobectl": strobectl}})
	profiles := doctest.Open(t, "docs/demo.md", "What else can be added")
	s.importPrometheus()
	tour.Run(profiles.Block(0)) // it first reads metrics within a minute
	for _, f := range s.functions() {
		s.waitFunction("container.name", f.container, f.function)
		s.waitFunction("service", f.service, f.function)
		t.Logf("%s: found %s", f.service, f.function)
	}
	s.waitBursts("thumbnails")

	for _, section := range []*doctest.Section{
		doctest.Open(t, "docs/demo.md", "Where the time goes"),
		doctest.Open(t, "docs/demo.md", "The slow endpoint"),
	} {
		tour.RunSection(section)
	}
	s.compareVersions(func() { tour.Run(remedy.Block(0)) })
	tour.RunUntil(remedy.Block(1), func(out string) bool { return strings.Contains(out, "main.editDistance") })
	tour.RunSection(doctest.Open(t, "docs/demo.md", "The noisy neighbour"))

	s.waitScraped("strobe", "strobe-agent")
	tour.Run(profiles.Block(1))

	tour.Run(doc.Block(3))
	for _, list := range [][]string{
		{"ps", "-aq"}, {"volume", "ls", "-q"}, {"network", "ls", "-q", "--filter", "type=custom"},
	} {
		if left := d.Run(t, "docker", list...); left != "" {
			t.Errorf("docker %s, after docker-compose down: %s", strings.Join(list, " "), left)
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

// compareVersions wants of both versions of the catalog what the tour says of them. Meanwhile it
// searches as customers do, so that there is something to see of the new one, which takes little.
func (s *stack) compareVersions(remedy func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.search(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	const slow = "main.editDistance"
	before := s.share("1.0", slow)
	remedy()
	s.waitFunction("service.version", "1.1", "main.(*nameIndex).closest")
	after := s.share("1.1", slow)
	s.t.Logf("%s: %.1f %% of version 1.0, %.1f %% of version 1.1", slow, 100*before, 100*after)
	// A search of 1.0 is next to nothing else. Of 20,000 names 1.1 compares 64, and finds them by
	// other means, which take twenty times that.
	if before < 0.5 {
		s.t.Errorf("%s is %.0f %% of version 1.0, so it is not what the tour finds", slow, 100*before)
	}
	if after > before/2 {
		s.t.Errorf("%s is %.0f %% of version 1.1 and %.0f %% of 1.0: it did not shrink", slow, 100*after, 100*before)
	}
}

// search asks the shop for a name that no product has, again and again.
func (s *stack) search(ctx context.Context) {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8080/search?q=stordy+lamp+for+xhe+garden", nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		resp, err := s.engine.Client().Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				continue
			}
		}
		select { // the catalog is being replaced
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// share returns which part of a version's CPU time a function has with all that it calls, once
// there is enough of it to tell a half from a twentieth.
func (s *stack) share(version, function string) (share float64) {
	s.t.Helper()
	s.eventually("samples of version "+version, func(ctx context.Context) (bool, string) {
		var top struct {
			Total, Samples float64
			Rows           []struct {
				Name  string
				Total float64
			}
		}
		body := s.get(ctx, "top", url.Values{
			"query": {fmt.Sprintf("{service=\"catalog\",service.version=%q}", version)}, "limit": {"1000"}, "sort": {"total"},
		}, &top)
		share = 0
		for _, row := range top.Rows {
			if row.Name == function {
				share += row.Total / top.Total
			}
		}
		return top.Samples >= 30, body
	})
	return share
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

// importPrometheus makes the image that docker-compose.yml pulls for the profile, under its name,
// out of the program of the distribution.
func (s *stack) importPrometheus() {
	s.t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		skip.Because(s.t, "needs prometheus in PATH: Debian's prometheus has it")
	}
	name := strings.TrimSpace(s.engine.Run(s.t, "sh", "-c", "cd '"+s.dir+"' && docker-compose --profile prometheus config | sed -n 's/^ *image: \\(prom.*\\)/\\1/p'"))
	s.engine.Run(s.t, "sh", "-c", `tar -chf - "$1" $(ldd "$1" | grep -o '/[^ ]*') | docker import --change "ENTRYPOINT [\"$1\"]" - "$2"`, "sh", program, name)
}

// waitScraped waits until Prometheus has read the metrics of the jobs, and has rules without an error.
func (s *stack) waitScraped(jobs ...string) {
	s.t.Helper()
	s.eventually("metrics of "+strings.Join(jobs, ", "), func(ctx context.Context) (bool, string) {
		var up struct {
			Data struct {
				Result []struct {
					Metric struct{ Job string }
					Value  [2]any
				}
			}
		}
		body := s.getURL(ctx, "http://127.0.0.1:9090/api/v1/query?query=up", &up)
		for _, r := range up.Data.Result {
			if r.Value[1] == "1" {
				jobs = slices.DeleteFunc(jobs, func(job string) bool { return job == r.Metric.Job })
			}
		}
		return len(jobs) == 0, body
	})
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	body := s.getURL(s.t.Context(), "http://127.0.0.1:9090/api/v1/rules", &rules)
	alerts := 0
	for _, group := range rules.Data.Groups {
		for _, rule := range group.Rules {
			alerts++
			if rule.LastError != "" {
				s.t.Errorf("alert %s: %s", rule.Name, rule.LastError)
			}
		}
	}
	if alerts == 0 {
		s.t.Errorf("Prometheus has no alerts: %s", body)
	}
}

// get asks the API and returns the answer's text, too.
func (s *stack) get(ctx context.Context, endpoint string, query url.Values, answer any) string {
	return s.getURL(ctx, "http://127.0.0.1:7070/api/v1/"+endpoint+"?"+query.Encode(), answer)
}

func (s *stack) getURL(ctx context.Context, address string, answer any) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
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
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Minute)
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
