// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
)

// TestBench runs everything once, for a minute of a small workload.
func TestBench(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary := filepath.Join(dir, "collectionagent")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out, err := os.Create(filepath.Join(dir, "table"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // read below
	b := &bench{
		binary: binary, config: workload.Default(), hosts: 2, windows: 6, inFlight: 2, runs: 2, budget: time.Minute, via: "both",
		dir: filepath.Join(dir, "work"), out: out,
	}
	b.config.Stacks = 400
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| own: CPU s per million samples |", "| own: bytes per sample, just written |", "| bytes per sample, after compaction |",
		"| flame graph, all services |", "| diff of halves, one service |", "| label values, service |", "2 hosts, 6 windows of 10 s, 400 stacks",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in the table:\n%s", want, text)
		}
	}
}

// TestReplay sends the workload to a server that counts.
func TestReplay(t *testing.T) {
	t.Parallel()
	var requests, bytes atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests.Add(1)
		bytes.Add(int64(len(body)))
	}))
	defer server.Close()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // read below
	for target, want := range map[string]int64{"pyroscope": 2 * 20, "pyroscope-otlp": 2} {
		b := &bench{config: workload.Default(), hosts: 1, windows: 2, inFlight: 2, runs: 1, out: out}
		b.config.Stacks = 400
		requests.Store(0)
		bytes.Store(0)
		r := &replay{target: target, address: strings.TrimPrefix(server.URL, "http://"), dir: t.TempDir(), pid: os.Getpid()}
		if err := b.replay(t.Context(), r); err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		if requests.Load() != want || bytes.Load() < 10_000 {
			t.Errorf("%s: %d requests, %d bytes; want %d requests", target, requests.Load(), bytes.Load(), want)
		}
	}
	b := &bench{config: workload.Default(), hosts: 1, windows: 1, inFlight: 1, runs: 1, out: out}
	b.config.Stacks = 400
	for name, r := range map[string]*replay{"no address": {target: "otlp"}, "unknown": {target: "x", address: "127.0.0.1:1"}} {
		if err := b.replay(t.Context(), r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ns   []int
		q    float64
		want time.Duration
	}{{nil, 0.5, 0}, {[]int{7}, 0.95, 7}, {[]int{3, 1, 2}, 0.5, 2}, {[]int{4, 3, 2, 1}, 1, 4}, {[]int{1, 2, 3, 4}, 0.5, 2}} {
		if got := quantile(c.ns, c.q); got != c.want {
			t.Errorf("quantile %v of %v: %v, want %v", c.q, c.ns, got, c.want)
		}
	}
}
