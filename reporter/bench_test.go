// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// workload is a host at work: processes of some services with threads, stacks of
// realistic depth that share their outer frames, both chosen by Zipf's law, at 20 Hz
// per busy CPU. Measured hosts have 25 to 50 % distinct stacks among the samples of a
// minute; BenchmarkWire prints the share per flush.
type workload struct {
	rnd       *rand.Rand
	processes []*libpf.Process
	traces    [][]*libpf.Trace // by process
	pick      []*rand.Zipf
	busy      *rand.Zipf // which process
	now       int64
	cpus      int
	fresh     uint64
	// novelty is of how many samples one has a stack never seen before, 0: none has.
	novelty int
}

func newWorkload(cpus, processes, stacks int) *workload {
	w := &workload{rnd: rand.New(rand.NewPCG(1, 2)), now: int64(testTime), cpus: cpus, novelty: 33}
	for p := range processes {
		id := fmt.Sprintf("%064x", w.rnd.Uint64())
		w.processes = append(w.processes, &libpf.Process{
			PID: libpf.PID(1000 + 37*p), StartTime: w.rnd.Uint64N(1e15), Name: fmt.Sprintf("svc-%d", p),
			Executable: fmt.Sprintf("/usr/local/bin/service-%d", p), ExecutableID: libpf.NewFileID(w.rnd.Uint64(), w.rnd.Uint64()),
			ContainerID: id, ContainerName: fmt.Sprintf("service-%d", p), PodName: fmt.Sprintf("service-%d-7d9f8b6c5-x%04x", p, p*77),
			Namespace: "production", Service: fmt.Sprintf("service-%d", p), CgroupID: uint64(5000 + p),
		})
		var traces []*libpf.Trace
		for range stacks / processes {
			traces = append(traces, w.stack(w.processes[p]))
		}
		w.traces = append(w.traces, traces)
		w.pick = append(w.pick, rand.NewZipf(w.rnd, 1.3, 2, uint64(len(traces)-1)))
	}
	w.busy = rand.NewZipf(w.rnd, 1.2, 2, uint64(processes-1))
	return w
}

// stack makes a stack of 10 to 40 frames: its outer ones come from a few call paths.
func (w *workload) stack(p *libpf.Process) *libpf.Trace {
	w.fresh++
	depth := 10 + w.rnd.IntN(31)
	frames := make([]libpf.Frame, depth)
	path := w.rnd.Uint64N(4)
	for i := range frames {
		file, addr := p.ExecutableID, path<<32+uint64(depth-i)*0x140
		if i < depth/3 {
			addr = 0x9000000 + w.rnd.Uint64N(4000)*0x30
			if w.rnd.IntN(3) == 0 {
				file = libpf.NewFileID(0xc, 0xc) // libc
			}
		}
		frames[i] = libpf.Frame{
			Type: libpf.NativeFrame, FileID: file, AddressOrLineno: libpf.AddressOrLineno(addr),
			Lines: []libpf.SourceLine{{
				Function: fmt.Sprintf("company::module_%d::Handler<T%d>::process", addr%97, addr%1009),
				File:     fmt.Sprintf("/src/company/module_%d/handler.cc", addr%97), Line: libpf.SourceLineno(addr % 900),
			}},
		}
	}
	return libpf.NewTrace(frames)
}

// sample returns the next sample.
func (w *workload) sample() libpf.Sample {
	w.now += w.rnd.Int64N(2 * 50_000_000 / int64(w.cpus))
	p := int(w.busy.Uint64())
	trace := w.traces[p][w.pick[p].Uint64()]
	if w.novelty > 0 && w.rnd.IntN(w.novelty) == 0 {
		trace = w.stack(w.processes[p])
		w.traces[p][w.rnd.IntN(len(w.traces[p]))] = trace
	}
	worker := w.rnd.IntN(8)
	return libpf.Sample{
		Time: libpf.UnixTimeNs(w.now), Type: libpf.SampleOnCPU, Count: 1, Value: 50_000_000, Trace: trace,
		Process: w.processes[p], TID: libpf.TID(int(w.processes[p].PID) + worker), Comm: fmt.Sprintf("worker-%d", worker),
		CPU: uint32(w.rnd.IntN(w.cpus)),
	}
}

// BenchmarkReportSample is the cost of a report, with that of emptying the queue
// at every 4,096th. cpu-ns/op is what counts on a machine that is busy with other things.
func BenchmarkReportSample(b *testing.B) {
	for _, parallel := range []bool{false, true} {
		b.Run(fmt.Sprintf("parallel=%v", parallel), func(b *testing.B) {
			w := newWorkload(8, 30, 3000)
			samples := make([]libpf.Sample, 1<<13)
			for i := range samples {
				samples[i] = w.sample()
			}
			q := newSampleQueue(1<<16, 1<<30, func() {})
			r := &GRPCReporter{samples: q}
			report := func(i int) {
				r.ReportSample(&samples[i%len(samples)])
				if i%4096 == 4095 {
					rows := q.lease(1 << 17)
					q.settle(uint64(len(rows)), "")
					q.release(rows)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			if parallel {
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						report(i)
					}
				})
			} else {
				for i := range b.N {
					report(i)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkWire reports the bytes on the wire per sample of a host with 8 busy
// CPUs at 20 Hz, flushing every 5 s, in the steady state and with everything in it,
// and the user-space cost of a sample from report to acknowledgement.
func BenchmarkWire(b *testing.B) {
	for _, cpus := range []int{2, 8, 64} {
		b.Run(fmt.Sprintf("cpus=%d", cpus), func(b *testing.B) {
			s := newFakeServer(nil)
			addr := s.serveBench(b)
			times := testTimes{report: time.Hour, metrics: time.Hour, connect: time.Second, operation: 30 * time.Second, backoff: time.Second, auth: time.Second}
			r, err := StartWithOptions(context.Background(), &Config{CollAgentAddr: addr, DisableTLS: true, Times: times}, &Options{HostID: "h"})
			if err != nil {
				b.Fatal(err)
			}
			defer r.Stop()
			w := newWorkload(cpus, 30, 3000)
			perFlush := cpus * 100
			total := 0
			flush := func() {
				want := uint64(total + perFlush)
				for range perFlush {
					sample := w.sample()
					r.ReportSample(&sample)
				}
				total += perFlush
				r.pump.wake()
				for r.Status().Ledger.Stored < want {
					time.Sleep(50 * time.Microsecond)
				}
			}
			for range max(4, 20_000/perFlush) { // until the definitions are known
				flush()
			}
			r.GetMetrics()
			before := total
			b.ReportAllocs()
			b.ResetTimer()
			start := cpuTime(b)
			for range b.N {
				flush()
			}
			b.StopTimer()
			used := cpuTime(b) - start
			n := float64(total - before)
			b.ReportMetric(100*s.distinct(before/perFlush), "distinct-%")
			m := r.GetMetrics()
			b.ReportMetric(float64(m.WireBytesOutCount)/n, "wireB/sample")
			b.ReportMetric(float64(m.RPCBytesOutCount)/n, "rawB/sample")
			for _, method := range []string{laneCounts, laneStacks, laneNames} {
				b.ReportMetric(float64(s.compressed(b, method, before/perFlush))/n, method+"B/sample")
			}
			b.ReportMetric(float64(used)/n, "cpu-ns/sample") // with the generator and the server
			b.ReportMetric(0, "ns/op")
		})
	}
}
