// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/support/skip"
)

// childVar makes the test binary a program with a known stack.
const childVar = "STROBE_TEST_CHILD"

func TestMain(m *testing.M) {
	if depth, err := strconv.Atoi(os.Getenv(childVar)); err == nil {
		fmt.Println("ready")
		if program := os.Getenv(execVar); program != "" {
			becomeAnother(program)
		}
		if os.Getenv(secondThreadVar) != "" {
			go workOnThread()
		}
		if os.Getenv(mapVar) != "" {
			go mapWhenTold()
		}
		summit(depth)
		return
	}
	os.Exit(m.Run())
}

const climbDepth = 900

var sink uint64

//go:noinline
func summit(d int) {
	if d > 0 {
		summit(d - 1)
		sink++ // no tail call
		return
	}
	for end := time.Now().Add(10 * time.Minute); ; {
		for i := range uint64(1 << 20) {
			sink ^= i
		}
		if time.Now().After(end) {
			return
		}
	}
}

// startChild starts the program and returns when it runs.
func startChild(t *testing.T) libpf.PID { return startChildOf(t, climbDepth) }

func startChildOf(t *testing.T, depth int) libpf.PID {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVar+"="+strconv.Itoa(depth))
	return startCommand(t, cmd)
}

// startCommand starts a program that is this one, until the test ends, and returns when it
// runs.
func startCommand(t *testing.T, cmd *exec.Cmd) libpf.PID {
	t.Helper()
	pid, _ := startTalking(t, cmd)
	return pid
}

// startTalking returns what the program says after that, too.
func startTalking(t *testing.T, cmd *exec.Cmd) (libpf.PID, *bufio.Reader) {
	t.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	said := bufio.NewReader(out)
	if line, err := said.ReadString('\n'); err != nil {
		t.Fatalf("child said %q: %v", line, err)
	}
	return libpf.PID(cmd.Process.Pid), said
}

// collector is a Sink that keeps everything and tells when it has enough.
type collector struct {
	mu          sync.Mutex
	samples     []*libpf.Sample
	executables map[libpf.FileID]*libpf.Executable
	want        int
	wanted      func(*libpf.Sample) bool
	done        context.CancelFunc
}

func (c *collector) ReportSample(s *libpf.Sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samples = append(c.samples, s)
	if c.wanted == nil || c.wanted(s) {
		if c.want--; c.want == 0 {
			c.done()
		}
	}
}

func (c *collector) ReportExecutable(e *libpf.Executable) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.executables == nil {
		c.executables = map[libpf.FileID]*libpf.Executable{}
	}
	c.executables[e.FileID] = e
}

// run samples until the collector has want samples that match.
func run(t *testing.T, cfg Config, want int, wanted func(*libpf.Sample) bool) (*collector, Stats) {
	t.Helper()
	skip.UnlessRoot(t)
	return runTracer(t, newTracer(t, cfg), want, wanted)
}

// newTracer is New for a test that samples often.
func newTracer(t *testing.T, cfg Config) *Tracer {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	if cfg.SamplesPerSecond == 0 {
		cfg.SamplesPerSecond = 500
	}
	tr, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// patience only guards against hanging: others may have the CPUs. What is sampled lives longer.
const patience = 5 * time.Minute

func runTracer(t *testing.T, tr *Tracer, want int, wanted func(*libpf.Sample) bool) (*collector, Stats) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stats Stats
	stop := make(chan struct{})
	c := &collector{want: want, wanted: wanted, done: func() { close(stop) }}
	go func() {
		select {
		case <-stop:
		case <-ctx.Done():
		}
		var err error
		if stats, err = tr.Stats(); err != nil {
			t.Error(err)
		}
		cancel()
	}()
	if err := tr.Run(ctx, c); err != nil {
		t.Fatal(err)
	}
	if c.want > 0 {
		t.Fatalf("%d of %d samples are missing after %v; kernel side: %v", c.want, want, patience, stats.Kernel)
	}
	return c, stats
}

func names(tr *libpf.Trace) []string {
	var out []string
	for i := range tr.Frames {
		f := &tr.Frames[i]
		if len(f.Lines) == 0 {
			out = append(out, f.FunctionName)
		}
		for _, l := range f.Lines {
			out = append(out, l.Function)
		}
	}
	return out
}

// checkClimb judges the stacks of the child: all recursions and the root.
func checkClimb(t *testing.T, c *collector, pid libpf.PID) {
	t.Helper()
	total, whole := 0, 0
	var example string
	for _, s := range c.samples {
		if s.Process.PID != pid || len(s.Trace.Frames) < 10 {
			continue // threads of the runtime, and the start
		}
		total++
		depth, root := 0, false
		for _, n := range names(s.Trace) {
			if strings.HasSuffix(n, "tracer.summit") {
				depth++
			}
			root = root || n == "runtime.goexit"
		}
		if depth == climbDepth+1 && root {
			whole++
		} else {
			all := names(s.Trace)
			example = fmt.Sprintf("%d recursions, %d frames, ends in %q", depth, len(all), all[max(0, len(all)-3):])
		}
	}
	if total == 0 || whole*100 < total*95 {
		t.Errorf("%d of %d stacks are whole; one that is not: %s", whole, total, example)
	}
}

func TestDeepStacks(t *testing.T) {
	skip.UnlessRoot(t)
	for name, without := range map[string][]string{
		"discovery in the kernel":     nil,
		"without the fault hook":      {progFault},
		"processes read from /proc":   {progFork, progExec, progExit, progFault, progIter},
		"iterator over tasks missing": {progIter},
	} {
		t.Run(name, func(t *testing.T) {
			pid := startChild(t)
			startChild(t) // what the filter is for: on a quiet host nobody else may have a CPU
			c, stats := run(t, Config{
				Filter: Filter{IncludePIDs: []libpf.PID{pid}}, withoutPrograms: without,
			}, 200, nil)
			checkClimb(t, c, pid)
			for _, s := range c.samples {
				if s.Process.PID != pid {
					t.Fatalf("process %d was sampled although only %d is included", s.Process.PID, pid)
				}
			}
			if stats.Kernel["filtered"] == 0 {
				t.Error("the filter did not work in the kernel")
			}
		})
	}
}

// TestTooDeep: a stack that is cut at the limit says so, in a frame and a counter.
func TestTooDeep(t *testing.T) {
	skip.UnlessRoot(t)
	pid := startChildOf(t, 3000)
	isCut := func(s *libpf.Sample) bool {
		frames := s.Trace.Frames
		return len(frames) > 0 && frames[len(frames)-1].Type == libpf.AbortFrame &&
			frames[len(frames)-1].FunctionName == endReasons[support.StrobeUnwindEndEND_DEPTH]
	}
	// Until the executable's tables are loaded a stack ends early for want of them.
	loaded := false
	c, stats := run(t, Config{Filter: Filter{IncludePIDs: []libpf.PID{pid}}}, 100, func(s *libpf.Sample) bool {
		loaded = loaded || isCut(s)
		return loaded
	})
	judged := c.samples[slices.IndexFunc(c.samples, isCut):]
	cut := 0
	for _, s := range judged {
		if !isCut(s) {
			continue
		}
		cut++
		user := 0
		for _, f := range s.Trace.Frames {
			if f.Type == libpf.GoFrame {
				user++
			}
		}
		if user < 1000 {
			t.Fatalf("the stack was cut at %d frames", user)
		}
	}
	if cut < 80 || stats.Kernel["depth"] == 0 {
		t.Errorf("%d of %d stacks say that they were cut; kernel side: %v", cut, len(judged), stats.Kernel)
	}
}

// TestNewProcess starts the child after sampling has begun: it is found by the
// hooks alone.
func TestNewProcess(t *testing.T) {
	skip.UnlessRoot(t)
	var pid libpf.PID
	started := make(chan struct{})
	go func() {
		defer close(started)
		pid = startChild(t)
	}()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	// The test itself is the same executable: include by path, exclude it by PID.
	c, _ := run(t, Config{Filter: Filter{
		IncludeExecutables: []string{exe}, ExcludePIDs: []libpf.PID{libpf.PID(os.Getpid())},
	}}, 200, nil)
	<-started
	checkClimb(t, c, pid)
	for _, s := range c.samples {
		if s.Process.PID == libpf.PID(os.Getpid()) {
			t.Fatal("an excluded process was sampled")
		}
	}
}

func TestSampleFields(t *testing.T) {
	skip.UnlessRoot(t)
	pid := startChild(t)
	before := time.Now()
	c, _ := run(t, Config{SamplesPerSecond: 250, Filter: Filter{IncludePIDs: []libpf.PID{pid}}}, 50, nil)
	after := time.Now()
	for _, s := range c.samples {
		if s.Value != 4e6 || s.Count != 1 || s.Type != libpf.SampleOnCPU {
			t.Fatalf("sample of type %v, count %d, value %d; want on_cpu, 1, 4 ms", s.Type, s.Count, s.Value)
		}
		if at := s.Time.Time(); at.Before(before.Add(-time.Second)) || at.After(after.Add(time.Second)) {
			t.Fatalf("sample is of %v, the test ran from %v to %v", at, before, after)
		}
		if s.Comm == "" || s.TID == 0 || s.Process.ExecutableID.IsZero() || s.Process.StartTime == 0 {
			t.Fatalf("sample lacks identity: %+v of %+v", s, s.Process)
		}
		if s.Trace.Hash != libpf.HashTrace(s.Trace.Frames) {
			t.Fatal("the hash is not that of the frames")
		}
		for _, f := range s.Trace.Frames {
			if f.Type == libpf.GoFrame && c.executables[f.FileID] == nil {
				t.Fatalf("executable %v of a frame was not reported", f.FileID)
			}
		}
	}
}

// TestStackIdentity: equal stacks are one trace, sent by the kernel side as a
// hash after the first time.
func TestStackIdentity(t *testing.T) {
	skip.UnlessRoot(t)
	pid := startChild(t)
	c, stats := run(t, Config{Filter: Filter{IncludePIDs: []libpf.PID{pid}}}, 400, nil)
	traces := map[libpf.TraceHash]*libpf.Trace{}
	for _, s := range c.samples {
		if have := traces[s.Trace.Hash]; have != nil && len(have.Frames) != len(s.Trace.Frames) {
			t.Fatal("one hash for stacks of different depths")
		}
		traces[s.Trace.Hash] = s.Trace
	}
	if stats.Kernel["sent_compact"] == 0 {
		t.Errorf("no stack was sent by its hash: %v", stats.Kernel)
	}
}

// TestBudget fills the slab beyond its budget with the pages of this binary.
func TestBudget(t *testing.T) {
	skip.UnlessRoot(t)
	cfg, err := (&Config{UnwindTableBytes: segmentBytes}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	k, err := loadKernelSide(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	m := newMetrics()
	files := newFileTable(k, &cfg, m)
	s, err := newTableStore(k, files, newRuntimeManager(k, files, &cfg, m), cfg.UnwindTableBytes, m)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	loaded := 0
	for id := uint32(100); id < 140; id++ {
		f := files.add(id, fileKeyOf(t, exe), mappedAt{})
		f.path = exe
		e := s.load(f)
		if e == nil || e.noneAt != nil {
			t.Fatalf("tables of %s: %+v", exe, e)
		}
		for p := range uint64(e.dir.Len) {
			s.loadPage(e, e.first+p)
			loaded++
		}
		if used := s.rows.Used() * rowBytes; used > cfg.UnwindTableBytes || len(s.segments) > 1 {
			t.Fatalf("%d bytes in %d segments exceed the budget of %d", used, len(s.segments), cfg.UnwindTableBytes)
		}
		s.nextEpoch()
	}
	var evicted prometheusCounter
	if evicted.read(t, m.tableEvictions) == 0 {
		t.Errorf("%d pages were loaded and none evicted: the test is too small", loaded)
	}
	// What is loaded now is what was used last.
	for index := range s.pages {
		if age := s.epoch - s.stampOf(index); age > 39 {
			t.Errorf("page %d of epoch %d survived", index, s.stampOf(index))
		}
	}
}

// BenchmarkLoadPage measures what one page miss costs user space.
func BenchmarkLoadPage(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	cfg, _ := (&Config{}).withDefaults()
	k, err := loadKernelSide(&cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	m := newMetrics()
	files := newFileTable(k, &cfg, m)
	s, err := newTableStore(k, files, newRuntimeManager(k, files, &cfg, m), cfg.UnwindTableBytes, m)
	if err != nil {
		b.Fatal(err)
	}
	exe, _ := os.Readlink("/proc/self/exe")
	f := files.add(100, fileKeyOf(b, exe), mappedAt{})
	f.path = exe
	b.ReportAllocs()
	pages := 0
	for b.Loop() {
		e := s.load(f)
		for p := range uint64(e.dir.Len) {
			s.loadPage(e, e.first+p)
			pages++
		}
		s.unload(f.id)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(pages), "µs/page")
}

type prometheusCounter struct{}

func (prometheusCounter) read(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}
