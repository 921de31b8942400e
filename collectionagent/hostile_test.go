// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// hostileVar names the variable with the directory of a child of TestHostileQueries.
const hostileVar = "STROBE_TEST_HOSTILE_DIR"

// hostileMemory is what -memory is in the child.
const hostileMemory = 512 << 20

// hostileReport is what the child has to say.
type hostileReport struct {
	Appended int            // batches while the queries ran
	Statuses map[string]int // of answers, by kind of query
	Wrong    []string       // answers that are neither one nor a clear error
	Refused  map[string]int64
	PeakRSS  int64
	Error    string
}

// TestHostileQueries asks a store of little memory for what does not fit in it, 16
// questions at a time, while it takes in samples. It is a process of its own, in a
// cgroup with a hard limit where that is possible. The process survives within its
// memory, takes samples in, and each answer is one or a clear error.
func TestHostileQueries(t *testing.T) {
	if dir := os.Getenv(hostileVar); dir != "" {
		report := hostileChild(t.Context(), dir)
		b, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "report.json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir()
	var out bytes.Buffer
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestHostileQueries$", "-test.v")
	c.Env = append(os.Environ(), hostileVar+"="+dir)
	c.Stdout, c.Stderr = &out, &out
	limited := limitChild(t, c, hostileMemory)
	if err := c.Run(); err != nil {
		t.Fatalf("the process did not survive (cgroup: %t): %v\n%s", limited, err, out.String())
	}
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report hostileReport
	if err := json.Unmarshal(b, &report); err != nil {
		t.Fatal(err)
	}
	t.Logf("cgroup: %t, %d batches, answers %v, refused %v, peak RSS %d MiB",
		limited, report.Appended, report.Statuses, report.Refused, report.PeakRSS>>20)
	if report.Error != "" || len(report.Wrong) > 0 {
		t.Errorf("%s; %s", report.Error, strings.Join(report.Wrong, "\n"))
	}
	if report.Appended == 0 {
		t.Error("nothing was taken in")
	}
	if report.Refused["too_large"] == 0 {
		t.Error("no query was too large: they are not hostile")
	}
	if !raceEnabled && report.PeakRSS > hostileMemory {
		t.Errorf("the process took %d MiB", report.PeakRSS>>20)
	}
}

// limitChild puts a child into a cgroup with a hard limit, if this process may make
// one.
func limitChild(t *testing.T, c *exec.Cmd, limit int64) bool {
	t.Helper()
	if raceEnabled { // which takes several times the memory
		return false
	}
	var fs unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return false
	}
	path := fmt.Sprintf("/sys/fs/cgroup/strobe-test-%d", os.Getpid())
	if os.Mkdir(path, 0o750) != nil {
		return false
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	if os.WriteFile(filepath.Join(path, "memory.max"), []byte(strconv.FormatInt(limit, 10)), 0) != nil {
		return false
	}
	group, err := os.Open(path)
	if err != nil {
		return false
	}
	t.Cleanup(func() { _ = group.Close() })
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	return true
}

// hostilePods is how many values the label has that the queries group by.
const hostilePods = 100_000

// hostileBatch returns samples of a thousand pods.
func hostileBatch(seq int) *store.Batch {
	b := &store.Batch{ID: store.BatchID{Project: auth.DefaultProject, HostID: "h", RunID: [16]byte{1}, Type: store.BatchSamples, Sequence: uint64(seq)}}
	start := time.Now().Add(-time.Hour)
	for i := range 1000 {
		pod := (seq*1000 + i) % hostilePods
		b.Series = append(b.Series, store.Series{
			Project: auth.DefaultProject, Type: libpf.SampleOnCPU, Service: fmt.Sprintf("service-%d", pod%20), Pod: fmt.Sprintf("pod-%06d", pod),
		})
		for j := range 4 {
			at := start.Add(time.Duration(seq%3000)*time.Second + time.Duration(i*4+j)*100*time.Microsecond)
			b.Samples = append(b.Samples, store.Sample{
				Time: libpf.UnixTimeNs(at.UnixNano()), Series: uint32(i), Stack: libpf.NewTraceHash(uint64((seq*7+i*4+j)%20_000), 7), Count: 1, Value: 10,
			})
		}
	}
	return b
}

// hostileChild is the process under test.
func hostileChild(ctx context.Context, dir string) (report hostileReport) {
	c := Default()
	c.DataDir, c.Memory, c.MinFreeBytes, c.MaxRequestBytes = filepath.Join(dir, "data"), hostileMemory, 0, 4<<20
	plan, err := c.memoryPlan()
	if err != nil {
		report.Error = err.Error()
		return report
	}
	logger := slog.New(slog.DiscardHandler)
	limitRuntime(plan, logger)
	queries := memory.NewBudget("-query-memory, a part of -memory", plan.Bytes[memory.Queries], queryPatience)
	db, err := openStore(ctx, &c, plan, queries, logger, prometheus.NewRegistry(), func(string) {})
	if err != nil {
		report.Error = err.Error()
		return report
	}
	defer func() { _ = db.Close() }()
	if err := db.(replaying).WaitReplayed(ctx); err != nil {
		report.Error = err.Error()
		return report
	}
	seq := 1
	appendOne := func() error {
		b := hostileBatch(seq)
		for {
			_, err := db.Append(ctx, b)
			if errors.Is(err, store.ErrBusy) {
				time.Sleep(time.Millisecond) // blocks are being written, which needs the processors
				continue
			}
			seq++
			return err
		}
	}
	for seq <= 250 {
		if err := appendOne(); err != nil {
			report.Error = err.Error()
			return report
		}
	}
	handler := api.New(api.Config{
		Store: db, Memory: queries, CacheBytes: plan.Bytes[memory.Definitions], MaxConcurrent: 16, ProjectConcurrent: 16,
		QueueTimeout: time.Minute, QueryTimeout: time.Minute,
	})
	var over atomic.Bool
	var writing sync.WaitGroup
	writing.Go(func() {
		for !over.Load() {
			if err := appendOne(); err != nil {
				report.Error = err.Error()
				return
			}
			report.Appended++
			time.Sleep(20 * time.Millisecond) // not to be all there is
		}
	})
	asked := hostileQuestions(ctx, handler, db)
	over.Store(true)
	writing.Wait()
	report.Statuses, report.Wrong = asked.statuses, asked.wrong
	busy, large := queries.Refused()
	report.Refused = map[string]int64{"busy": busy, "too_large": large}
	if used := queries.Used(); used != 0 {
		report.Wrong = append(report.Wrong, fmt.Sprintf("%d bytes of the budget are still taken", used))
	}
	report.PeakRSS = peakRSS()
	return report
}

// answers are what came back.
type answers struct {
	mu       sync.Mutex
	statuses map[string]int
	wrong    []string
}

func (a *answers) add(kind string, status int, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.statuses[fmt.Sprintf("%s %d", kind, status)]++
	switch {
	case status == http.StatusOK:
	case (status == http.StatusUnprocessableEntity || status == http.StatusServiceUnavailable) && strings.Contains(text, "-"):
	default:
		a.wrong = append(a.wrong, fmt.Sprintf("%s: %d %.300s", kind, status, text))
	}
}

// hostileQuestions asks all kinds of questions, 16 at a time.
func hostileQuestions(ctx context.Context, handler http.Handler, db store.Store) *answers {
	a := &answers{statuses: map[string]int{}}
	kinds := map[string]func(){}
	for _, target := range []string{
		"flamegraph?group_by=pod&max_nodes=1000000", "flamegraph", "top?limit=100000", "folded?group_by=pod,service", "pprof?group_by=pod",
		"timeline?by=pod&step=1s&limit=1000", "timeline?by=service", "labels/pod/values?limit=100", "labels", "series?labels=pod,service&limit=100000",
		"heatmap", "tracks?limit=100", "tracks?by=pod&limit=1000", "diff?group_by=pod", "totals",
	} {
		path, query, _ := strings.Cut(target, "?")
		values, _ := url.ParseQuery(query)
		values.Set("from", "now-2h")
		values.Set("to", "now")
		if path == "diff" {
			values.Set("base_from", "now-4h")
			values.Set("base_to", "now-2h")
		}
		kinds[target] = func() {
			r := httptest.NewRequest(http.MethodGet, "/api/v1/"+path+"?"+values.Encode(), nil).WithContext(auth.NewContext(ctx, auth.Anonymous()))
			w := &discarding{header: http.Header{}}
			handler.ServeHTTP(w, r)
			a.add(target, max(w.status, http.StatusOK), string(w.start))
		}
	}
	kinds["a year by second"] = func() {
		now := libpf.UnixTimeNs(time.Now().UnixNano())
		q := &store.Query{
			Project: auth.DefaultProject, Type: libpf.SampleOnCPU, From: now - libpf.UnixTimeNs(365*24*time.Hour), To: now,
			Step: time.Second, ByStack: true, GroupBy: []string{store.LabelPod},
		}
		status, text := http.StatusOK, ""
		switch _, err := db.Select(ctx, q, func(*store.Row) bool { return true }); {
		case errors.Is(err, memory.ErrTooLarge):
			status, text = http.StatusUnprocessableEntity, err.Error()
		case errors.Is(err, memory.ErrBusy):
			status, text = http.StatusServiceUnavailable, err.Error()
		case err != nil:
			status, text = http.StatusInternalServerError, err.Error()
		}
		a.add("a year by second", status, text)
	}
	jobs := make(chan func())
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for ask := range jobs {
				ask()
			}
		})
	}
	for range 4 {
		for ask := range maps.Values(kinds) {
			jobs <- ask
		}
	}
	close(jobs)
	wg.Wait()
	return a
}

// discarding is a client that keeps the start of an answer.
type discarding struct {
	header http.Header
	status int
	start  []byte
}

func (d *discarding) Header() http.Header    { return d.header }
func (d *discarding) WriteHeader(status int) { d.status = status }
func (d *discarding) Write(b []byte) (int, error) {
	if len(d.start) < 1000 {
		d.start = append(d.start, b[:min(len(b), 1000)]...)
	}
	return len(b), nil
}

var _ io.Writer = (*discarding)(nil)

// peakRSS returns the most memory that the process had.
func peakRSS() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 54)
			return kib << 10
		}
	}
	return 0
}
