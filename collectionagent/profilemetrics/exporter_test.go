// SPDX-License-Identifier: Apache-2.0

package profilemetrics

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/golden"
)

var end = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// shop is a store with a minute of two services: 6 s of checkout, half of it in pay, 3 s of search.
func shop(t *testing.T) store.Store {
	t.Helper()
	s := memstore.New()
	frame := func(name string, address libpf.AddressOrLineno) libpf.Frame {
		return libpf.Frame{Type: libpf.PythonFrame, FileID: libpf.NewFileID(1, 1), AddressOrLineno: address, FunctionName: name, SourceFile: name + ".py"}
	}
	b := &store.Batch{
		ID: store.BatchID{Project: "default", HostID: "1", Type: store.BatchSamples, Sequence: 1},
		Series: []store.Series{
			{Project: "default", Type: libpf.SampleOnCPU, Service: "checkout", HostID: "1"},
			{Project: "default", Type: libpf.SampleOnCPU, Service: "search", HostID: "1"},
			{Project: "default", Type: libpf.SampleInuseSpace, Service: "checkout", HostID: "1"},
			{Project: "other", Type: libpf.SampleOnCPU, Service: "secret", HostID: "1"},
		},
	}
	d := &store.Definitions{Project: "default"}
	add := func(series uint32, at time.Duration, value int64, names ...string) {
		frames := make([]libpf.Frame, len(names))
		for i, n := range names {
			frames[i] = frame(n, libpf.AddressOrLineno(len(n)*100+i)) //nolint:gosec // small
		}
		trace := libpf.NewTrace(frames)
		d.Stacks = append(d.Stacks, store.Stack{Hash: trace.Hash, Frames: frames})
		for _, f := range frames {
			d.Symbols = append(d.Symbols, store.Symbol{Frame: f.ID(), Lines: []libpf.SourceLine{{Function: f.FunctionName, File: f.SourceFile}}})
		}
		b.Samples = append(b.Samples, store.Sample{
			Time: libpf.UnixTimeNs(end.Add(at).UnixNano()), Series: series, Stack: trace.Hash, Count: 1, Value: value,
		})
	}
	second := int64(time.Second)
	add(0, -50*time.Second, 3*second, "pay", "serve")
	add(0, -40*time.Second, 2*second, "log", "serve")
	add(0, -40*time.Second, second, "serve")
	add(1, -30*time.Second, 3*second, "find", "serve")
	add(0, -61*time.Second, 100*second, "too early")
	add(0, 0, 100*second, "too late")
	add(2, -20*time.Second, 4096, "cache", "serve")
	add(3, -20*time.Second, second, "secret")
	if _, err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return s
}

// exported works on a file and returns what is exported of profiles.
func exported(t *testing.T, rules string, now time.Time) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	e, err := New(Options{File: file, Store: shop(t), Registerer: registry, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	e.Evaluate(t.Context(), end)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, f := range families {
		if f.GetName() == "strobe_profile_rule_seconds" {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

const rules = `
rules:
- name: all
  top: 2
- name: by service
  by: service
  top: 1
  functions: [serve]
- name: largest
  by: service
  groups: 1
  query: '{service=~".*"}'
- name: memory
  type: inuse_space
- name: nothing
  query: '{service="none"}'
`

func TestExport(t *testing.T) {
	got := exported(t, rules, end.Add(20*time.Second))
	golden.Equal(t, filepath.Join("testdata", "metrics.txt"), got)
}

// What is old is gone, but for the time that it is of.
func TestStale(t *testing.T) {
	got := exported(t, rules, end.Add(4*time.Minute))
	if strings.Contains(got, "strobe_profile_function") || strings.Contains(got, "strobe_profile_rate") {
		t.Errorf("exported four minutes later:\n%s", got)
	}
	if !strings.Contains(got, "strobe_profile_rule_end_timestamp_seconds") {
		t.Errorf("nothing says how old it is:\n%s", got)
	}
}

// Functions and groups that Prometheus would refuse, or would take for one another.
func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"main":                         "main",
		"a\xffb":                       "a\uFFFDb",
		strings.Repeat("é", 200):       strings.Repeat("é", 128),
		"a" + strings.Repeat("é", 200): "a" + strings.Repeat("é", 127) + "\uFFFD",
	} {
		if got := text(in); got != want {
			t.Errorf("text(%q) = %q, want %q", in, got, want)
		}
	}
}

// Functions that a rule names are found among however many.
func TestNamedAmongMany(t *testing.T) {
	s := memstore.New()
	frames := make([]libpf.Frame, 100_002)
	for i := range frames {
		frames[i] = libpf.Frame{
			Type: libpf.PythonFrame, FileID: libpf.NewFileID(1, 1), AddressOrLineno: libpf.AddressOrLineno(i), //nolint:gosec // small
			FunctionName: fmt.Sprintf("f%06d", i),
		}
	}
	hash := libpf.HashTrace(frames)
	d := &store.Definitions{Project: "default", Stacks: []store.Stack{{Hash: hash, Frames: frames}}}
	b := &store.Batch{
		Series:  []store.Series{{Project: "default", Type: libpf.SampleOnCPU, HostID: "1"}},
		Samples: []store.Sample{{Time: libpf.UnixTimeNs(end.Add(-time.Second).UnixNano()), Stack: hash, Count: 1, Value: 1}},
	}
	if _, err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte("rules: [{name: a, top: 0, functions: [f100001]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := New(Options{File: file, Store: s})
	if err != nil {
		t.Fatal(err)
	}
	e.Evaluate(t.Context(), end)
	got := e.latest[e.config.rules[0]].tables.groups[0]
	if len(got.functions) != 1 || got.functions[0].total != 1 || got.functions[0].self+got.rest != 1 {
		t.Errorf("got %+v", got)
	}
}

// Functions of the same name are one, also where one calls the other.
func TestSameName(t *testing.T) {
	s := memstore.New()
	frame := func(name, file string) libpf.Frame {
		return libpf.Frame{Type: libpf.PythonFrame, FileID: libpf.NewFileID(1, 1), AddressOrLineno: libpf.AddressOrLineno(len(file)), FunctionName: name, SourceFile: file}
	}
	d := &store.Definitions{Project: "default"}
	b := &store.Batch{Series: []store.Series{{Project: "default", Type: libpf.SampleOnCPU, HostID: "1"}}}
	for _, frames := range [][]libpf.Frame{{frame("work", "a.py"), frame("work", "other.py")}, {frame("rest", "rest.py")}} {
		hash := libpf.HashTrace(frames)
		d.Stacks = append(d.Stacks, store.Stack{Hash: hash, Frames: frames})
		b.Samples = append(b.Samples, store.Sample{Time: libpf.UnixTimeNs(end.Add(-time.Second).UnixNano()), Stack: hash, Count: 1, Value: 1})
	}
	if _, err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte("rules: [{name: a}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := New(Options{File: file, Store: s})
	if err != nil {
		t.Fatal(err)
	}
	e.Evaluate(t.Context(), end)
	got := e.latest[e.config.rules[0]].tables.groups[0].functions
	if want := []share{{"rest", "", .5, .5}, {"work", "", .5, .5}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBadFiles(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"empty":          {"", "rules: is empty"},
		"no rules":       {"interval: 1m", "rules: there are 0, must be 1 to 100"},
		"unknown field":  {"rules:\n- name: a\n  tops: 3", "line 3: field tops not found"},
		"no name":        {"rules:\n- top: 3", "rules[0].name: is missing"},
		"same name":      {"rules:\n- name: a\n- name: a", `rules[1].name: "a" is the name of another rule`},
		"type":           {"rules:\n- name: a\n  type: cpu", "rules[0].type: "},
		"query":          {"rules:\n- name: a\n  query: '{a'", "rules[0].query: "},
		"top":            {"rules:\n- name: a\n  top: 101", "rules[0].top: is 101, must be 0 to 100"},
		"groups":         {"rules:\n- name: a\n  by: service\n  groups: -1", "rules[0].groups: is -1, must be 1 to 100"},
		"groups of none": {"rules:\n- name: a\n  groups: 3", "rules[0].groups: needs by"},
		"interval":       {"interval: 1s\nrules:\n- name: a", "interval: is 1s, must be from 10s to 1h"},
		"no duration":    {"delay: soon\nrules:\n- name: a", "delay: "},
		"not YAML":       {"rules: [", "line 1: "},
		"bomb":           {"a: &a [x,x]\nb: &b [*a,*a]\nrules: [*b,*b]", "line "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse([]byte(c.file))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A store that fails is counted and does not end the others' work.
func TestFailure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte("rules: [{name: a}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	e, err := New(Options{File: file, Store: shop(t), Registerer: registry, QueryTimeout: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	e.Evaluate(t.Context(), end)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "strobe_profile_rule_failures_total" && f.GetMetric()[0].GetCounter().GetValue() == 1 {
			return
		}
	}
	t.Errorf("the failure is not counted: %v", families)
}

// Run begins at once and ends with its context.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte("rules: [{name: a}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Run looks at the clock before it works on the rules, and once more after that.
	looked := make(chan struct{}, 2)
	e, err := New(Options{File: file, Store: shop(t)})
	if err != nil {
		t.Fatal(err)
	}
	e.options.Now = func() time.Time { // that of the engine is another
		looked <- struct{}{}
		return end.Add(20 * time.Second)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		e.Run(ctx)
		close(done)
	}()
	<-looked
	<-looked
	e.mu.Lock()
	known := len(e.latest)
	e.mu.Unlock()
	if known != 1 {
		t.Errorf("%d rules were worked on, want 1", known)
	}
	stop()
	<-done
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(rules))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parse(b); (c == nil) == (err == nil) {
			t.Errorf("%v, %v", c, err)
		}
	})
}
