// SPDX-License-Identifier: Apache-2.0

// Package synth makes samples as a busy host would have them, at the speed of
// memory: some hundred processes, thousands of stacks of 10 to 60 named frames,
// and frequencies as in real programs, where few stacks have most of the samples.
package synth

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// Period is the time that each sample stands for.
const Period = time.Millisecond

// Generator makes samples. It is for one goroutine.
type Generator struct {
	random      *rand.Rand
	executables []*program
	processes   []*process
	pick        *rand.Zipf
	sample      libpf.Sample
}

// program is an executable with its functions and the stacks that it is seen with.
type program struct {
	executable *libpf.Executable
	functions  []libpf.Frame
	stacks     []*libpf.Trace
	pick       *rand.Zipf
}

type process struct {
	program *program
	process *libpf.Process
	threads []string // names
}

// Executables of which processes are made, and functions of each.
const (
	programs  = 60
	functions = 500
)

var words = []string{
	"accept", "buffer", "cache", "commit", "decode", "dispatch", "encode", "flush", "handle", "index", "insert", "iterate",
	"lookup", "marshal", "merge", "parse", "process", "queue", "read", "render", "resolve", "route", "scan", "schedule",
	"serialize", "session", "sort", "stream", "transform", "update", "validate", "write",
}

// New returns a generator of the given size. The same seed gives the same samples.
func New(seed uint64, processes, stacks int) *Generator {
	g := &Generator{random: rand.New(rand.NewPCG(seed, 7))} //nolint:gosec // repeatable on purpose
	for i := range programs {
		g.executables = append(g.executables, g.program(i, max(stacks/programs, 1)))
	}
	for i := range processes {
		g.processes = append(g.processes, g.process(i))
	}
	g.pick = g.zipf(len(g.processes))
	return g
}

// zipf returns numbers below n, small ones much more often.
func (g *Generator) zipf(n int) *rand.Zipf { return rand.NewZipf(g.random, 1.1, 4, uint64(n-1)) } //nolint:gosec // n is positive

func (g *Generator) id() libpf.FileID { return libpf.NewFileID(g.random.Uint64(), g.random.Uint64()) }

func (g *Generator) word() string { return words[g.random.IntN(len(words))] }

func (g *Generator) program(number, stacks int) *program {
	name := fmt.Sprintf("%s-%sd", g.word(), g.word())
	p := &program{executable: &libpf.Executable{
		FileID: g.id(), FileName: fmt.Sprintf("%s%d", name, number), BuildID: fmt.Sprintf("%016x%016x", g.random.Uint64(), g.random.Uint64()),
	}}
	for i := range functions {
		function := fmt.Sprintf("%s::%s_%s::%s%d", name, g.word(), g.word(), g.word(), i)
		p.functions = append(p.functions, libpf.Frame{
			Type: libpf.NativeFrame, FileID: p.executable.FileID, AddressOrLineno: libpf.AddressOrLineno(0x1000 + i*0x140),
			Lines: []libpf.SourceLine{{
				Function: function, File: fmt.Sprintf("/build/%s/src/%s/%s.cc", name, g.word(), g.word()),
				Line: libpf.SourceLineno(g.random.IntN(3000) + 1), //nolint:gosec // positive
			}},
		})
	}
	for range stacks {
		p.stacks = append(p.stacks, g.stack(p))
	}
	p.pick = g.zipf(stacks)
	return p
}

// stack returns a new stack, of which the root half is shared with others.
func (g *Generator) stack(p *program) *libpf.Trace {
	frames := make([]libpf.Frame, 10+g.random.IntN(51))
	for i := range frames {
		frames[i] = p.functions[g.random.IntN(len(p.functions))]
		if i > len(frames)/2 {
			frames[i] = p.functions[(len(frames)-i)%40]
		}
	}
	return libpf.NewTrace(frames)
}

func (g *Generator) process(number int) *process {
	p := g.executables[number%len(g.executables)]
	name := p.executable.FileName
	out := &process{program: p, process: &libpf.Process{
		PID: libpf.PID(1000 + number*40), StartTime: g.random.Uint64() >> 20, Name: name[:min(len(name), 15)], //nolint:gosec // small
		Executable: "/usr/bin/" + name, ExecutableID: p.executable.FileID,
		ContainerID: fmt.Sprintf("%064x", binary.BigEndian.Uint64(binary.BigEndian.AppendUint64(nil, g.random.Uint64()))),
		Service:     name, PodName: fmt.Sprintf("%s-%08x", name, g.random.Uint32()), Namespace: g.word(),
	}}
	for range 1 + g.random.IntN(12) {
		out.threads = append(out.threads, fmt.Sprintf("%s-%d", g.word(), g.random.IntN(8)))
	}
	return out
}

// Executables returns what samples refer to.
func (g *Generator) Executables() []*libpf.Executable {
	out := make([]*libpf.Executable, len(g.executables))
	for i, p := range g.executables {
		out[i] = p.executable
	}
	return out
}

// Next returns the next sample, taken at the given time. It is overwritten by the
// next call; what it points to stays.
func (g *Generator) Next(at time.Time) *libpf.Sample {
	p := g.processes[g.pick.Uint64()]
	thread := g.random.IntN(len(p.threads))
	g.sample = libpf.Sample{
		Time: libpf.UnixTimeNs(at.UnixNano()), Type: libpf.SampleOnCPU, Count: 1, Value: int64(Period),
		Trace: p.program.stacks[p.program.pick.Uint64()], Process: p.process,
		TID: libpf.TID(int(p.process.PID) + thread), Comm: p.threads[thread], CPU: g.random.Uint32N(32), //nolint:gosec // small
	}
	return &g.sample
}

// Spread returns a random part of d.
func (g *Generator) Spread(d time.Duration) time.Duration {
	return time.Duration(g.random.Int64N(int64(d)))
}
