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
	t.Run("month", func(t *testing.T) { testMonth(t, binary) })
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

func TestSoakFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                         "",
		"-duration 60s -hosts 2":   "",
		"-duration 60s -span 24h":  "",
		"-duration 5s":             "at least 10s",
		"-hosts 0":                 "positive",
		"-queries 0":               "positive",
		"-rate -1":                 "negative",
		"-stacks 3":                "-stacks",
		"-duration 10m -span 9m":   "-span",
		"-duration 10m something":  "something",
		"-duration 10m -unknown 1": "not defined",
	} {
		s, err := newSoak(strings.Fields(args), nil, io.Discard)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", args, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: error %v, want one with %q", args, err, want)
		case want == "" && (s.every <= 0 || s.span < s.duration):
			t.Errorf("%q: every %s, span %s", args, s.every, s.span)
		}
	}
}

// TestSoakTimes checks that what is sent is within what the server takes, and
// that what comes late expires in the run.
func TestSoakTimes(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-duration 60s", "-duration 30m", "-duration 2h", "-duration 30m -span 26h"} {
		s, err := newSoak(strings.Fields(args), nil, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Date(2026, 5, 1, 13, 37, 11, 5, time.UTC)
		s.schedule(began)
		end := began.Add(s.duration)
		for now := began; !now.After(end); now = now.Add(s.duration / 50) {
			for _, late := range []bool{false, true} {
				at := s.at(now, late)
				if at.Before(now.Add(-s.age)) || at.After(now.Add(time.Hour)) {
					t.Errorf("%s: samples sent %s after the start have times of %s before then", args, now.Sub(began), now.Sub(at))
				}
			}
		}
		if left := s.at(began, true).Add(s.age).Sub(began); left <= 0 || left > s.duration/2 {
			t.Errorf("%s: late samples expire after %s", args, left)
		}
		if now := s.at(end, false).Sub(s.at(began, false)); now != s.span {
			t.Errorf("%s: times advance by %s, want %s", args, now, s.span)
		}
	}
}

func TestMonthFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"": "", "-days 2 -raw-days 1 -hosts 3": "", "-days 0": "positive", "-stacks 1": "-stacks", "more": "more",
	} {
		if _, err := newMonth(strings.Fields(args), nil, io.Discard); (want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", args, err, want)
		}
	}
}

// testMonth makes two days of one host and asks about them.
func testMonth(t *testing.T, binary string) {
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "table"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // read below
	m, err := newMonth([]string{"-binary", binary, "-days", "2", "-raw-days", "1", "-hosts", "1", "-stacks", "400", "-runs", "1", "-dir", dir}, out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range m.questions() {
		if !strings.Contains(string(text), "| "+q.name+" |") {
			t.Errorf("no %q in\n%s", q.name, text)
		}
	}
	if !strings.Contains(string(text), "1h0m0s") {
		t.Errorf("no answer is made from sums per hour:\n%s", text)
	}
}

func TestParseMetrics(t *testing.T) {
	t.Parallel()
	m := parseMetrics("# HELP x y\nstrobe_collectionagent_a_total{kind=\"x\",reason=\"y\"} 3\nstrobe_collectionagent_a_total{kind=\"z\"} 4\n" +
		"strobe_collectionagent_a_total_more 100\ngo_goroutines 5\nstrobe_collectionagent_b 1.5e+06\nbroken\n")
	for _, c := range []struct {
		name  string
		label []string
		want  float64
	}{{"a_total", nil, 7}, {"a_total", []string{`kind="x"`}, 3}, {"b", nil, 1.5e6}, {"c", nil, 0}} {
		if got := m.sum(c.name, c.label...); got != c.want {
			t.Errorf("%s %v: %v, want %v", c.name, c.label, got, c.want)
		}
	}
}

func TestGrowth(t *testing.T) {
	t.Parallel()
	var flat, leak []look
	for i := range 60 {
		at := time.Duration(i) * 10 * time.Second
		saw := int64(i%7) << 20
		flat = append(flat, look{at: at, resident: 500<<20 + saw})
		leak = append(leak, look{at: at, resident: 500<<20 + saw + int64(at.Minutes()*5*(1<<20))})
	}
	if g := growth(flat); g > 0.5 || g < -0.5 {
		t.Errorf("growth of flat memory: %v", g)
	}
	if g := growth(leak); g < 4.5 || g > 5.5 {
		t.Errorf("growth of 5 MiB a minute: %v", g)
	}
	if g := growth(flat[:1]); g != 0 {
		t.Errorf("growth of one look: %v", g)
	}
}
