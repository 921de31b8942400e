// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// spin keeps a CPU busy. Profiles are looked through for its name.
//
//go:noinline
func spin(done *atomic.Bool) (n uint64) {
	for !done.Load() {
		n++
	}
	return n
}

// allocate allocates memory that is let go.
//
//go:noinline
func allocate(n int) (kept []byte) {
	// The runtime samples about one in 512 KiB: pieces of less than several times that are a matter of luck.
	for range n / 8 {
		kept = make([]byte, 8<<20)
	}
	return kept
}

var sink []byte

// TestRealProfiles scrapes this process.
func TestRealProfiles(t *testing.T) {
	// Not parallel: it uses the one CPU profile of the process.
	address := served(t, nil)
	var done atomic.Bool
	var spinning sync.WaitGroup
	spinning.Go(func() { spin(&done) })
	defer func() {
		done.Store(true)
		spinning.Wait()
	}()
	old := runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	t.Cleanup(func() {
		runtime.SetMutexProfileFraction(old)
		runtime.SetBlockProfileRate(0)
	})
	r := newRig(t, "scrape_configs:\n- job_name: self\n  scrape_interval: 2s\n  static_configs: [{targets: ['"+address+"'], labels: {service_name: me, env: test}}]\n")
	up := func() {
		t.Helper()
		for _, target := range r.once() {
			if target.State != Up || target.Error != "" {
				t.Errorf("%s: %s %q", target.Profile, target.State, target.Error)
			}
		}
	}
	// What was allocated is told after the collection that follows: of what is not told by the
	// first scrape the second one would tell as well.
	sink = allocate(64)
	contend()
	runtime.GC()
	runtime.GC()
	up()
	if n := r.total(libpf.SampleOnCPU, ".spin"); n == 0 {
		t.Errorf("spin is not in the CPU profile:\n%s", r.folded(libpf.SampleOnCPU))
	}
	if got := r.folded(libpf.SampleGoroutines); !strings.Contains(got, "me;self;"+address+";") || r.total(libpf.SampleGoroutines, ".spin") != 1 {
		t.Errorf("goroutines:\n%s", got)
	}
	for _, typ := range []libpf.SampleType{libpf.SampleAllocSpace, libpf.SampleMutexContentions, libpf.SampleBlockDelay} {
		if got := r.folded(typ); got != "" {
			t.Errorf("%s of the time before the first scrape is stored:\n%s", typ, got)
		}
	}
	const more = 128
	sink = allocate(more)
	contend()
	runtime.GC()
	runtime.GC()
	up()
	if got := r.total(libpf.SampleAllocSpace, ".allocate"); got < more<<20*9/10 || got > more<<20*11/10 {
		t.Errorf("allocate is said to have allocated %d bytes, want about %d", got, more<<20)
	}
	for _, typ := range []libpf.SampleType{libpf.SampleMutexContentions, libpf.SampleMutexDelay, libpf.SampleBlockContentions, libpf.SampleBlockDelay} {
		if r.total(typ, ".contend") == 0 {
			t.Errorf("contend is not in %s:\n%s", typ, r.folded(typ))
		}
	}
}

// contend waits for a lock that others hold.
//
//go:noinline
func contend() {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				mu.Lock()
				runtime.Gosched()
				time.Sleep(10 * time.Microsecond)
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// answering is a target whose answer can be changed.
type answering struct{ lines atomic.Pointer[[]string] }

func (a *answering) set(lines ...string) { a.lines.Store(&lines) }

func (a *answering) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_ = heap(*a.lines.Load()...).Write(w)
}

// allocsRig scrapes a target of memory that counts since its start.
func allocsRig(t *testing.T) (*answering, *rig) {
	t.Helper()
	a := &answering{}
	return a, newRig(t, jobFor(served(t, map[string]http.HandlerFunc{"/debug/pprof/allocs": a.ServeHTTP}), "memory: {}", ""))
}

// TestRestart is a target that begins anew, which is counted.
func TestRestart(t *testing.T) {
	t.Parallel()
	a, r := allocsRig(t)
	for i, c := range []struct {
		line            string
		stored, restart int64
	}{
		{"work 1000 1", 0, 0}, {"work 1100 1", 100, 0}, {"work 30 1", 100, 1}, {"work 50 1", 120, 1}, {"work 50 1", 120, 1},
	} {
		a.set(c.line)
		if got := r.once()[0]; got.State != Up || got.Error != "" {
			t.Fatalf("%+v", got)
		}
		if got := r.total(libpf.SampleAllocSpace, "work"); got != c.stored {
			t.Errorf("after %d: %d bytes, want %d", i, got, c.stored)
		}
		if got := counter(r.scraper.metrics.restarts.WithLabelValues("memory")); got != float64(c.restart) {
			t.Errorf("after %d: %v restarts, want %d", i, got, c.restart)
		}
		if got := r.total(libpf.SampleInuseSpace, "work"); got != int64(i+1) {
			t.Errorf("after %d: snapshots sum up to %d", i, got)
		}
	}
}

// TestStoreBusy loses nothing of what counts since the start of a target.
func TestStoreBusy(t *testing.T) {
	t.Parallel()
	a, r := allocsRig(t)
	a.set("work 1000 1")
	r.once()
	r.store.setFail(store.ErrBusy)
	a.set("work 1100 1")
	if got := r.once()[0]; got.State != Down {
		t.Errorf("%+v", got)
	}
	if n := counter(r.scraper.metrics.scrapes.WithLabelValues("failed", "busy")); n != 1 {
		t.Error("it is not counted")
	}
	r.store.setFail(nil)
	a.set("work 1150 1")
	r.once()
	if got := r.total(libpf.SampleAllocSpace, "work"); got != 150 {
		t.Errorf("%d bytes, want 150", got)
	}
}

// panicking is a store with a bug.
type panicking struct{ store.Store }

func (panicking) Append(context.Context, *store.Batch) (bool, error) { panic("a bug") }

// TestPanic loses neither memory, see the end of the rig, nor what counts since the start of a target.
func TestPanic(t *testing.T) {
	t.Parallel()
	a, r := allocsRig(t)
	a.set("work 1000 1")
	r.once()
	good := r.store.Store
	r.store.Store = panicking{good}
	a.set("work 1100 1")
	if got := r.once()[0]; got.State != Down || got.Error != "internal error, see the log" {
		t.Errorf("%+v", got)
	}
	if n := counter(r.scraper.metrics.scrapes.WithLabelValues("failed", "panic")); n != 1 {
		t.Error("it is not counted")
	}
	r.store.Store = good
	a.set("work 1150 1")
	r.once()
	if got := r.total(libpf.SampleAllocSpace, "work"); got != 150 {
		t.Errorf("%d bytes, want 150", got)
	}
}

// TestSelectedTypes keeps what the file says, and no level of what a target made the
// difference of.
func TestSelectedTypes(t *testing.T) {
	t.Parallel()
	a := &answering{}
	a.set("work 1000 1")
	address := served(t, map[string]http.HandlerFunc{"/debug/pprof/allocs": func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.RawQuery; got != "" && got != "seconds=1" {
			http.Error(w, got, http.StatusBadRequest)
			return
		}
		a.ServeHTTP(w, r)
	}})
	for profile, want := range map[string][2]int64{
		"memory: {delta: false}": {1000, 1},
		"memory: {delta: false, keep_sample_type: [{type: inuse_space, unit: bytes}]}": {0, 1},
		"memory: {seconds: 1}": {1000, 0},
		"memory: {delta: false, keep_sample_type: [{type: inuse_space, unit: none}]}": {0, 0},
	} {
		r := newRig(t, strings.Replace(jobFor(address, profile, ""), "scrape_interval: 2s", "scrape_interval: 3s", 1))
		state, problem := Up, ""
		if want == [2]int64{} {
			state, problem = Down, "nothing of it is stored: it has alloc_space/bytes, inuse_space/bytes, none of which keep_sample_type and seconds leave"
		}
		if got := r.once()[0]; got.State != state || got.Error != problem {
			t.Errorf("%s: %+v", profile, got)
		}
		got := [2]int64{r.total(libpf.SampleAllocSpace, "work"), r.total(libpf.SampleInuseSpace, "work")}
		if got != want {
			t.Errorf("%s: %d, want %d", profile, got, want)
		}
	}
}

// TestKeptIsBounded scrapes more than there is memory to keep.
func TestKeptIsBounded(t *testing.T) {
	t.Parallel()
	a, r := allocsRig(t)
	a.set("work 1000 1")
	r.scraper.kept.limit = 8
	if got := r.once()[0]; got.State != Down || !strings.Contains(got.Error, "takes all the memory there is for it, an eighth of -ingest-memory") {
		t.Errorf("%+v", got)
	}
	r.scraper.reading.limit = 8
	if got := r.once()[0]; got.State != Down || !strings.Contains(got.Error, "half of -ingest-memory") {
		t.Errorf("%+v", got)
	}
	if n := counter(r.scraper.metrics.scrapes.WithLabelValues("failed", "memory")); n != 2 {
		t.Errorf("%v are counted", n)
	}
}

// instances returns those that the scraper has.
func (r *rig) instances() []string {
	var all []string
	for _, t := range r.scraper.Targets("default") {
		all = append(all, t.Instance)
	}
	slices.Sort(all)
	return all
}

// await waits until the scraper has instances.
func (r *rig) await(want ...string) {
	r.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		got := r.instances()
		if cmp.Equal(got, want) || len(got)+len(want) == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("targets are %v, want %v; problems %v\n%s", got, want, r.scraper.Problems(), r.log)
		}
	}
}

// TestReload changes the file of a scraper at work.
func TestReload(t *testing.T) {
	t.Parallel()
	r := newRig(t, jobFor("a:1", "", ""))
	r.run()
	r.await("a:1")
	write := func(config string) {
		writeFile(t, r.file, config)
		r.scraper.Reload()
	}
	write(jobFor("b:1", "", ""))
	r.await("b:1")
	write("scrape_configs: [{job_name: a, scheme: ftp}]")
	for deadline := time.Now().Add(2 * time.Minute); len(r.scraper.Problems()) == 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if got := r.scraper.Problems(); len(got) != 1 || !strings.Contains(got[0], r.file+":1: scrape_configs[0].scheme: is \"ftp\"") {
		t.Errorf("problems: %q", got)
	}
	r.await("b:1")
	write("")
	r.await()
	write(jobFor("a:1", "", "tls_config: {ca_file: none.pem}"))
	for deadline := time.Now().Add(2 * time.Minute); len(r.scraper.Problems()) == 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if got := r.scraper.Problems(); len(got) != 1 || !strings.Contains(got[0], "job shop: tls_config: ca_file: "+filepath.Join(r.dir, "none.pem")) {
		t.Errorf("problems: %q", got)
	}
	write(jobFor("c:1", "", ""))
	r.await("c:1")
	m := r.scraper.metrics
	if changed, failed := counter(m.reloads.WithLabelValues("changed")), counter(m.reloads.WithLabelValues("failed")); changed != 3 || failed != 2 {
		t.Errorf("%v changes, %v failures", changed, failed)
	}
	if got := r.scraper.Problems(); len(got) != 0 {
		t.Errorf("problems: %q", got)
	}
}

// TestReloadKeeps checks that what a file does not change goes on as it was.
func TestReloadKeeps(t *testing.T) {
	t.Parallel()
	a := &answering{}
	a.set("work 1000 1")
	address := served(t, map[string]http.HandlerFunc{"/debug/pprof/allocs": a.ServeHTTP})
	config := jobFor(address, "memory: {}", "")
	r := newRig(t, config)
	r.run()
	r.await(address)
	only := func() *endpoint {
		r.scraper.mu.Lock()
		defer r.scraper.mu.Unlock()
		for _, e := range r.scraper.endpoints {
			if e.spec.instance == address {
				return e
			}
		}
		return nil
	}
	first := only()
	writeFile(t, r.file, config+"- {job_name: more, static_configs: [{targets: ['x:1']}], profiling_config: {pprof_config: {memory: {enabled: false}, mutex: {enabled: false}, block: {enabled: false}, goroutine: {enabled: false}}}}\n")
	r.scraper.Reload()
	r.await(address, "x:1")
	if only() != first {
		t.Error("the endpoint is another one after a change that is none of its own")
	}
	// A change of its own starts another one, which knows what the first knew.
	r.scraper.mu.Lock()
	first.mu.Lock()
	first.last = lastScrape{began: time.Now(), samples: 7}
	first.mu.Unlock()
	r.scraper.mu.Unlock()
	writeFile(t, r.file, strings.Replace(config, "scrape_interval: 2s", "scrape_interval: 24h", 1))
	r.scraper.Reload()
	for deadline := time.Now().Add(2 * time.Minute); r.scraper.Targets("default")[0].Interval != 24*time.Hour && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	r.await(address)
	if got := r.scraper.Targets("default")[0]; only() == first || got.State != Up || got.Samples == 0 {
		t.Errorf("after a change: %+v", got)
	}
}

// TestFileDiscovery adds, changes, breaks and removes files with targets.
func TestFileDiscovery(t *testing.T) {
	t.Parallel()
	r := newRig(t, "scrape_configs:\n- job_name: a\n  file_sd_configs: [{files: ['sd/*.json', 'sd/*.yml', 'sd/one.json']}]\n"+
		"  profiling_config: {pprof_config: {memory: {enabled: false}, mutex: {enabled: false}, block: {enabled: false}, goroutine: {enabled: false}}}\n")
	sd := func(name string) string { return filepath.Join(r.dir, "sd", name) }
	if err := os.Mkdir(filepath.Join(r.dir, "sd"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.run()
	steps := []struct {
		name, content string // "": removed
		want          []string
	}{
		{"one.json", `[{"targets": ["a:1", "b:1"], "labels": {"x": "y"}}]`, []string{"a:1", "b:1"}},
		{"two.yml", "- targets: [c:1]\n- targets: [a:1]\n  labels: {x: y, __meta_filepath: z}\n", []string{"a:1", "b:1", "c:1"}},
		{"one.json", `[{"targets": ["a:1"]}, {"targets": ["d:1"]`, []string{"a:1", "b:1", "c:1"}},
		{"one.json", `[{"targets": ["a:1"]}, {"target": ["d:1"]}]`, []string{"a:1", "b:1", "c:1"}},
		{"one.json", `[{"targets": ["d:1"]}]`, []string{"a:1", "c:1", "d:1"}},
		{"two.yml", "", []string{"d:1"}},
		{"one.json", "[]", nil},
	}
	for i, s := range steps {
		if s.content == "" {
			if err := os.Remove(sd(s.name)); err != nil {
				t.Fatal(err)
			}
		} else {
			writeFile(t, sd(s.name), s.content)
		}
		before := r.scraper.Problems()
		r.scraper.Reload()
		if i == 2 || i == 3 { // the targets are those of before; each of the two has a problem of its own
			for deadline := time.Now().Add(2 * time.Minute); cmp.Equal(r.scraper.Problems(), before) && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
		}
		r.await(s.want...)
		problems := fmt.Sprint(r.scraper.Problems())
		if broken := i == 2 || i == 3; broken != strings.Contains(problems, sd("one.json")+":1: ") {
			t.Errorf("step %d: problems %s", i, problems)
		}
	}
	if n := counter(r.scraper.metrics.fileError); n != 2 {
		t.Errorf("%v errors are counted, want 2", n)
	}
}

// TestTargetLimits leaves out what is too much, and what is wrong.
func TestTargetLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t, strings.Replace(jobFor("a:1", "", "target_limit: 1"), "'a:1'", "'a:1', 'b:1', 'c:1', 'bad:1'", 1)+
		"  relabel_configs: [{source_labels: [__address__], regex: 'bad:1', target_label: __scheme__, replacement: gopher}]\n")
	r.run()
	r.await("a:1")
	want := []string{
		"job shop: 2 targets are left out: target_limit is 1 (0: none), and 10000 profiles of targets are scraped at most",
		"job shop: target bad:1: __scheme__: must be http or https",
	}
	if d := cmp.Diff(want, r.scraper.Problems()); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
	if n := counter(r.scraper.metrics.leftOut); n != 3 {
		t.Errorf("%v are left out, want 3", n)
	}
	if got := r.scraper.Targets("other"); got != nil {
		t.Errorf("another project sees %v", got)
	}
}
