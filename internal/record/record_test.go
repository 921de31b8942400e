// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"go.uber.org/goleak"

	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/internal/sampling/samplingtest"
	"github.com/strobe-profiler/strobe/libpf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options returns valid options with changes.
func options(change func(*Options)) *Options {
	o := &Options{
		All: true, SamplesPerSecond: 99, Format: Folded, Output: "strobe.folded",
		UnwindTableBytes: 64 << 20, MemoryLimit: 256 << 20,
	}
	change(o)
	return o
}

// record runs options with a fake tracer and returns what it wrote to standard
// output and standard error.
func record(ctx context.Context, t *testing.T, o *Options, f *samplingtest.Fake, terminal bool) (stdout, stderr string, status int, err error) {
	t.Helper()
	var out, messages bytes.Buffer
	status, err = o.Run(ctx, Environment{New: f.New, Stdout: &out, Stderr: &messages, Terminal: terminal})
	return out.String(), messages.String(), status, err
}

func twoStacks() *samplingtest.Fake {
	cut := samplingtest.Sample(7, "worker", "leaf")
	cut.Trace = libpf.NewTrace(append(cut.Trace.Frames, libpf.Frame{Type: libpf.AbortFrame, FunctionName: "why"}))
	return &samplingtest.Fake{
		Samples: []*libpf.Sample{
			samplingtest.Sample(7, "main;x", "leaf", "main"), samplingtest.Sample(8, "main;x", "leaf", "main"), cut,
		},
		Last:       []*libpf.Sample{samplingtest.Sample(7, "late", "main")},
		FinalStats: sampling.Stats{Samples: 1234, Lost: 5},
	}
}

func TestFolded(t *testing.T) {
	t.Parallel()
	o := options(func(o *Options) { o.Duration, o.Output = time.Millisecond, "-" })
	out, messages, status, err := record(t.Context(), t, o, twoStacks(), false)
	if err != nil || status != 0 {
		t.Fatal(status, err)
	}
	want := "late;main 1\nmain:x;main;leaf 2\nworker;[why];leaf 1\n"
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, want := range []string{"wrote standard output: 4 samples in ", "5 lost", "1 with an incomplete stack", "of CPU used"} {
		if !strings.Contains(messages, want) {
			t.Errorf("summary %q does not say %q", messages, want)
		}
	}
	if strings.Contains(messages, "recording") {
		t.Errorf("progress without a terminal: %q", messages)
	}
}

func TestPprof(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out.pb.gz")
	o := options(func(o *Options) { o.Duration, o.Output, o.Format = time.Millisecond, path, Pprof })
	if _, _, _, err := record(t.Context(), t, o, twoStacks(), false); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	p, err := profile.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Sample) != 4 || p.Period != int64(time.Second)/99 {
		t.Errorf("%d samples, period %d", len(p.Sample), p.Period)
	}
	for _, s := range p.Sample {
		if len(s.Label["pid"]) != 1 || len(s.Label["thread"]) != 1 {
			t.Errorf("labels %v", s.Label)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	o := options(func(o *Options) { o.Duration, o.Output = time.Millisecond, "-" })
	_, messages, _, err := record(t.Context(), t, o, twoStacks(), true)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(messages, "recording: ") || !strings.Contains(messages, "5 lost") {
		t.Errorf("progress %q", messages)
	}
}

func TestStoppedByContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out.folded")
	if err := os.WriteFile(path, bytes.Repeat([]byte("old contents "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := twoStacks()
	o := options(func(o *Options) { o.Output = path })
	done := make(chan error)
	var messages string
	f.Samples = append(f.Samples, samplingtest.Sample(1, "x", "y"))
	go func() {
		var err error
		_, messages, _, err = record(ctx, t, o, f, false)
		done <- err
	}()
	cancel() // before or after the start: both must end it
	err := <-done
	b, readErr := os.ReadFile(path)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if err == nil && (!strings.HasPrefix(string(b), "late;main 1\n") || !strings.Contains(messages, "5 lost")) {
		t.Errorf("wrote %q and said %q", b, messages)
	}
	if err != nil && !strings.HasPrefix(string(b), "old") {
		t.Errorf("an error, %v, but wrote %q", err, b)
	}
}

// TestInterrupted ends a recording that has begun, and wants its counters.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := twoStacks()
	start := func(cfg sampling.Config) (sampling.Tracer, error) {
		tracer, err := f.New(cfg)
		go func() {
			<-tracer.Started()
			cancel()
		}()
		return tracer, err
	}
	var out, messages bytes.Buffer
	o := options(func(o *Options) { o.Output = "-" })
	_, err := o.Run(ctx, Environment{New: start, Stdout: &out, Stderr: &messages})
	// It may not have noticed the start yet.
	if !errors.Is(err, errEarly) && (err != nil || !strings.Contains(out.String(), "late;main 1\n") || !strings.Contains(messages.String(), "5 lost")) {
		t.Errorf("error %v, wrote %q and said %q", err, &out, &messages)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	output := filepath.Join(dir, "x")
	broken := errors.New("no such luck")
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Skipf("needs true: %v", err)
	}
	tests := map[string]struct {
		fake *samplingtest.Fake
		opts *Options
		want string
	}{
		"new":                    {&samplingtest.Fake{NewErr: broken}, options(func(o *Options) { o.Output = output }), "no such luck"},
		"run":                    {&samplingtest.Fake{RunErr: broken}, options(func(o *Options) { o.Output = output }), "no such luck"},
		"output":                 {&samplingtest.Fake{}, options(func(o *Options) { o.Output = "/nowhere/x" }), "-o: open /nowhere/x"},
		"no process":             {&samplingtest.Fake{}, options(func(o *Options) { o.All, o.PIDs, o.Output = false, []libpf.PID{libpf.PID(dead.Process.Pid)}, output }), fmt.Sprintf("-p: there is no process %d", dead.Process.Pid)},
		"no command":             {&samplingtest.Fake{}, options(func(o *Options) { o.All, o.Command, o.Output = false, []string{"/nowhere/x"}, output }), "start command: "},
		"command, but no tracer": {&samplingtest.Fake{NewErr: broken}, options(func(o *Options) { o.All, o.Command, o.Output = false, []string{"sleep", "100"}, output }), "no such luck"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := record(t.Context(), t, test.opts, test.fake, false)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if _, err := os.Stat(output); err == nil {
				t.Error("left an output without a profile")
			}
		})
	}
}

func TestTargetEnds(t *testing.T) {
	t.Parallel()
	sleeper := exec.Command("sleep", "100")
	if err := sleeper.Start(); err != nil {
		t.Skipf("needs sleep: %v", err)
	}
	pid := libpf.PID(sleeper.Process.Pid) //nolint:gosec // a PID
	o := options(func(o *Options) { o.All, o.PIDs, o.Output = false, []libpf.PID{pid}, "-" })
	f := twoStacks()
	done := make(chan error)
	go func() {
		_, _, _, err := record(t.Context(), t, o, f, false)
		done <- err
	}()
	if err := sleeper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The zombie counts as ended, and as nonexistent once it is waited for.
	if err := <-done; err != nil && !strings.Contains(err.Error(), "no process") {
		t.Error(err)
	}
	_ = sleeper.Wait() // killed
	if f.Config.Filter.IncludePIDs != nil {
		want := sampling.Filter{IncludePIDs: []libpf.PID{pid}, FollowChildren: true}
		if diff := cmp.Diff(want, f.Config.Filter); diff != "" {
			t.Errorf("filter (-want +got):\n%s", diff)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		command  []string
		duration time.Duration
		want     int
	}{
		"ends":      {[]string{"sh", "-c", "exit 3"}, 0, 3},
		"succeeds":  {[]string{"true"}, 0, 0},
		"is ended":  {[]string{"sleep", "100"}, 10 * time.Millisecond, 0},
		"is killed": {[]string{"sh", "-c", "kill -9 $$"}, 0, 128 + 9},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(func(o *Options) { o.All, o.Command, o.Duration, o.Output = false, test.command, test.duration, "-" })
			out, _, status, err := record(t.Context(), t, o, twoStacks(), false)
			if err != nil || status != test.want || out == "" {
				t.Errorf("status %d, want %d; error %v; output %q", status, test.want, err, out)
			}
		})
	}
}

// TestCommandIsHeld proves that nothing of a command runs before sampling does.
func TestCommandIsHeld(t *testing.T) {
	t.Parallel()
	marker := filepath.Join(t.TempDir(), "marker")
	c, err := startCommand([]string{"touch", marker})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.detached:
		t.Skip("this host forbids ptrace: commands cannot be held")
	default:
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the command ran before it was released")
	}
	c.release()
	<-c.ended
	if _, err := os.Stat(marker); err != nil {
		t.Errorf("the command did not run: %v", err)
	}
	if status := c.stop(true); status != 0 {
		t.Errorf("status %d", status)
	}
}

func TestThreadIsNoProcess(t *testing.T) {
	t.Parallel()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skipf("needs /proc: %v", err)
	}
	for _, task := range tasks {
		tid, err := strconv.ParseUint(task.Name(), 10, 32)
		if err != nil || int(tid) == os.Getpid() {
			continue
		}
		if _, err := openProcesses([]libpf.PID{libpf.PID(tid)}); err == nil || !strings.Contains(err.Error(), "is a thread of process") {
			t.Errorf("thread %d: %v", tid, err)
		}
		return
	}
	t.Skip("this process has one thread")
}

func TestAggregateIsBounded(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	a := newAggregate(false, limit)
	for i := range 10_000 {
		a.ReportSample(samplingtest.Sample(1, fmt.Sprintf("comm%d", i), fmt.Sprintf("f%d", i)))
	}
	var out bytes.Buffer
	if err := a.write(&out, Folded, 1); err != nil {
		t.Fatal(err)
	}
	total := 0
	for line := range strings.Lines(out.String()) {
		var n int
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if total != 10_000 {
		t.Errorf("%d samples in the output, want 10000", total)
	}
	if got := a.totals(); got.merged == 0 || got.samples != 10_000 {
		t.Errorf("%+v", got)
	}
	if len(a.stacks) > 1500 {
		t.Errorf("%d stacks kept", len(a.stacks))
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func BenchmarkReportSample(b *testing.B) {
	a := newAggregate(true, 64<<20)
	samples := make([]*libpf.Sample, 256)
	for i := range samples {
		samples[i] = samplingtest.Sample(1, "comm", fmt.Sprintf("f%d", i), "b", "c", "d")
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.ReportSample(samples[i%len(samples)])
	}
}
