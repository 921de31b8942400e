// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// busy are one subject per runtime, as a host may run them side by side.
var busy = []string{
	"c-o2", "go-plain", "py", "java17", "node", "ruby", "php", "php-opcache", "perl", "luajit", "beam", "clr9",
}

// deep are subjects of which most frames are those of a recursion of 900 or more.
var deep = []string{"py-climb900", "ruby-dive900", "php-calls", "perl-reef", "luajit-lagoon", "beam-deep", "clr9-deep"}

// benchLength is how long each of these benchmarks samples; use -benchtime 1x.
const benchLength = 8 * time.Second

type discard struct{}

func (discard) ReportSample(*libpf.Sample)         {}
func (discard) ReportExecutable(*libpf.Executable) {}

// BenchmarkRuntimes measures what the samples of a busy process of each runtime
// cost at 400 Hz: in eBPF, per sample and per user frame, and in user space up to
// the resolved sample.
func BenchmarkRuntimes(b *testing.B) { measureRuntimes(b, busy) }

// BenchmarkDeepRuntimes is the same for stacks in which frames are all that counts.
func BenchmarkDeepRuntimes(b *testing.B) { measureRuntimes(b, deep) }

func measureRuntimes(b *testing.B, names []string) {
	b.Helper()
	skip.UnlessRoot(b)
	stats, err := ebpf.EnableStats(0) // BPF_STATS_RUN_TIME
	if err != nil {
		b.Fatal(err)
	}
	defer stats.Close() //nolint:errcheck // end of the program
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			pid := tracertest.Start(b, name, 120)
			<-time.After(3 * time.Second) // what is compiled at run time has been
			for b.Loop() {
				measureRuntime(b, pid)
			}
		})
	}
}

func measureRuntime(b *testing.B, pid int) {
	b.Helper()
	tr, err := tracer.New(tracer.Config{
		SamplesPerSecond: 400, Filter: tracer.Filter{IncludePIDs: []libpf.PID{libpf.PID(pid)}}, //nolint:gosec // a PID
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- tr.Run(ctx, discard{}) }()
	<-tr.Started()
	<-time.After(2 * time.Second) // tables and names are there
	before, ns0, cpu0 := counted(b, tr), programTime(b, "sample_cpu"), ownCPU(b)
	<-time.After(benchLength)
	after, ns1, cpu1 := counted(b, tr), programTime(b, "sample_cpu"), ownCPU(b)
	stop()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	samples, frames := float64(after.Samples-before.Samples), float64(after.UserFrames-before.UserFrames)
	b.ReportMetric(frames/samples, "frames/sample")
	b.ReportMetric(float64(ns1-ns0)/frames, "ebpf-ns/frame")
	b.ReportMetric(float64(ns1-ns0)/samples/1e3, "ebpf-µs/sample")
	b.ReportMetric((cpu1-cpu0).Seconds()*1e6/samples, "user-ms/1000samples")
	b.ReportMetric(100*float64(after.Complete-before.Complete)/float64(after.Stacks-before.Stacks), "complete-%")
}

func counted(b *testing.B, tr *tracer.Tracer) tracer.Stats {
	b.Helper()
	s, err := tr.Stats()
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// programTime returns the run time in ns of all programs of a name. Programs that
// it passes on to by a tail call are part of it.
func programTime(b *testing.B, name string) (ns uint64) {
	b.Helper()
	for id := ebpf.ProgramID(0); ; {
		var err error
		if id, err = ebpf.ProgramGetNextID(id); err != nil {
			return ns
		}
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone
		}
		if info, err := p.Info(); err == nil && info.Name == name {
			if s, err := p.Stats(); err == nil {
				ns += uint64(s.Runtime) //nolint:gosec // not negative
			}
		}
		p.Close() //nolint:errcheck // read only
	}
}

// BenchmarkHostOfRuntimes measures the whole agent at 20 Hz on a host with one
// busy process per runtime.
func BenchmarkHostOfRuntimes(b *testing.B) {
	skip.UnlessRoot(b)
	for _, name := range busy {
		tracertest.Start(b, name, 300)
	}
	grpcAddress, httpAddress, agentHTTP := program.FreeAddress(b), program.FreeAddress(b), program.FreeAddress(b)
	startServer(b, b.TempDir(), grpcAddress, httpAddress)
	agent := startService(b, "agent", "-collection-agent", grpcAddress, "-http-address", agentHTTP, "-samples-per-second", "20")
	eventually(b, "profiling", func(ctx context.Context) bool { return program.Get(ctx, "http://"+agentHTTP+"/-/ready") != "" })
	<-time.After(15 * time.Second) // all runtimes have been met
	for b.Loop() {
		before := processCPU(b, agent.Process.Pid)
		<-time.After(30 * time.Second)
		b.ReportMetric(100*(processCPU(b, agent.Process.Pid)-before).Seconds()/30, "core-%")
	}
	b.ReportMetric(float64(residentKB(b, agent.Process.Pid))/1024, "rss-MB")
}

// processCPU returns the CPU time that a process has used.
func processCPU(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func residentKB(b *testing.B, pid int) int {
	b.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n
		}
	}
	return 0
}
