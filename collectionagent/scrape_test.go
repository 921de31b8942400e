// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// busyOfScrape is looked for in what was scraped.
//
//go:noinline
func busyOfScrape(done *atomic.Bool) (n uint64) {
	for !done.Load() {
		n++
	}
	return n
}

// heldForScrape is looked for as well. It makes more than the profiler of memory could miss.
//
//go:noinline
func heldForScrape() []byte { return make([]byte, 16<<20) }

// TestScrape has the program fetch the profiles of this process, and its own.
func TestScrape(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	target := httptest.NewServer(mux)
	t.Cleanup(target.Close)
	var done atomic.Bool
	var busy sync.WaitGroup
	busy.Go(func() { busyOfScrape(&done) })
	defer func() {
		done.Store(true)
		busy.Wait()
	}()
	held := heldForScrape()
	defer runtime.KeepAlive(held)
	runtime.GC() // profiles of memory are of the last collection
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("targets.json", `[{"targets": ["`+strings.TrimPrefix(target.URL, "http://")+`"], "labels": {"env": "test"}}]`)
	file := write("scrape.yaml", "scrape_configs: [{job_name: self, scrape_interval: 2s, file_sd_configs: [{files: ['*.json']}]}]")
	p := start(t, filepath.Join(dir, "data"), "-scrape-config", file)
	until := func(what, path, want string) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
			status, body := p.get(path)
			if status == http.StatusOK && strings.Contains(body, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d %.2000s", what, status, body)
			}
		}
	}
	folded := func(typ string) string {
		return "/api/v1/folded?from=now-1h&type=" + typ + "&query=" + url.QueryEscape(`{service="self",job="self",env="test"}`)
	}
	until("CPU", folded("on_cpu"), "busyOfScrape")
	until("goroutines", folded("goroutines"), "busyOfScrape")
	until("memory in use", folded("inuse_space"), "heldForScrape")
	until("the status", "/api/v1/targets", `"profile":"process_cpu","url":"`+target.URL+`/debug/pprof/profile"`)
	until("the metrics", "/metrics", `strobe_collectionagent_scrapes_total{reason="",result="stored"}`)

	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	write("scrape.yaml", "scrape_configs: [{job: self}]")
	until("the error", "/api/v1/targets", "scrape_configs[0].job: unknown field")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Errorf("end: %v\n%s", err, p.log)
	}
}

// TestScrapeConfigIsChecked starts the program with files that are wrong.
func TestScrapeConfigIsChecked(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "scrape.yaml")
	if err := os.WriteFile(file, []byte("scrape_configs:\n- job_name: a\n  basic_auth: {username: a, pass: hunter2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-check-config", "-scrape-config", file}, {"-data-dir", t.TempDir(), "-scrape-config", file, "-http-address", "127.0.0.1:0", "-grpc-address", "127.0.0.1:0"}} {
		_, out := runCommand(t, 1, args...)
		if !strings.Contains(out, "-scrape-config: "+file+":3: scrape_configs[0].basic_auth.pass: unknown field") || strings.Contains(out, "hunter2") {
			t.Errorf("%v: %s", args, out)
		}
	}
}
