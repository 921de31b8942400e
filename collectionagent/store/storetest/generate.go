// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Base is about when generated samples were taken.
const Base = libpf.UnixTimeNs(1_700_000_000_000_000_000)

// generator makes up batches and queries. The same seed makes the same ones.
type generator struct {
	rnd    *rand.Rand
	stacks []store.Stack
	seq    map[store.BatchID]uint64 // by ID without sequence
}

func newGenerator(seed uint64) *generator {
	g := &generator{rnd: rand.New(rand.NewPCG(seed, 1)), seq: make(map[store.BatchID]uint64)}
	for range 40 {
		g.stacks = append(g.stacks, g.stack())
	}
	return g
}

// pick returns one of the values.
func pick[T any](g *generator, values ...T) T { return values[g.rnd.IntN(len(values))] }

func (g *generator) stack() store.Stack {
	frames := make([]libpf.Frame, 1+g.rnd.IntN(12))
	for i := range frames {
		frames[i] = libpf.Frame{
			Type:            pick(g, libpf.NativeFrame, libpf.KernelFrame, libpf.GoFrame),
			FileID:          g.file(),
			AddressOrLineno: libpf.AddressOrLineno(g.rnd.IntN(1000)),
		}
		if g.rnd.IntN(4) == 0 {
			frames[i].Type = libpf.PythonFrame
			frames[i].FunctionName = fmt.Sprintf("fün%d", g.rnd.IntN(9))
			frames[i].SourceFile = "a/b.py"
			frames[i].SourceLine = libpf.SourceLineno(g.rnd.IntN(99))
		}
	}
	return store.Stack{Hash: libpf.HashTrace(frames), Frames: frames}
}

func (g *generator) file() libpf.FileID {
	return libpf.NewFileID(uint64(g.rnd.IntN(3)), uint64(g.rnd.IntN(3)))
}

func (g *generator) frameID() libpf.FrameID {
	return libpf.NewFrameID(g.file(), libpf.AddressOrLineno(g.rnd.IntN(8)))
}

func (g *generator) project() string { return pick(g, "default", "default", "other", "") }

// id returns the identity of the next batch of one of a few runs of agents.
func (g *generator) id(project string, t store.BatchType) store.BatchID {
	id := store.BatchID{Project: project, HostID: pick(g, "h1", "h2"), RunID: [16]byte{1, byte(g.rnd.IntN(2))}, Type: t}
	g.seq[id]++
	if g.rnd.IntN(20) == 0 {
		g.seq[id] += uint64(g.rnd.IntN(3)) // the agent gave some up
	}
	seq := g.seq[id]
	id.Sequence = seq
	return id
}

func (g *generator) series(project string) store.Series {
	n := g.rnd.IntN(4)
	s := store.Series{
		Project: project,
		Type:    pick(g, libpf.SampleOnCPU, libpf.SampleOnCPU, libpf.SampleOffCPU, libpf.SampleInuseSpace),
		Service: pick(g, "web", "db", "bätch"), Host: pick(g, "alpha", "beta"), HostID: pick(g, "1", "2"),
		Comm: pick(g, "main", "worker", ""), Process: pick(g, "srv", "cli"), Executable: "/usr/bin/x",
		PID: libpf.PID(100 + n), ProcessStart: uint64(n), TID: libpf.TID(100 + g.rnd.IntN(6)),
	}
	if g.rnd.IntN(2) == 0 {
		s.Pod, s.Namespace, s.Container, s.ContainerID = pick(g, "p-1", "p-2"), "ns", "c", "0123"
	}
	if g.rnd.IntN(3) == 0 {
		s.Labels = []libpf.Label{{Key: "region", Value: pick(g, "eu", "us")}, {Key: "tier", Value: pick(g, "1", "")}}
	}
	return s
}

func (g *generator) time() libpf.UnixTimeNs {
	return Base + libpf.UnixTimeNs(g.rnd.Int64N(int64(30*time.Minute)))
}

// batch returns a new batch of up to rows samples.
func (g *generator) batch(rows int) *store.Batch {
	project := g.project()
	b := &store.Batch{ID: g.id(project, store.BatchSamples)}
	for range 1 + g.rnd.IntN(8) {
		b.Series = append(b.Series, g.series(project))
	}
	for range g.rnd.IntN(rows + 1) {
		s := store.Sample{
			Time: g.time(), Series: uint32(g.rnd.IntN(len(b.Series))), Stack: pick(g, g.stacks...).Hash,
			Count: 1, Value: 50_000_000,
		}
		if g.rnd.IntN(3) == 0 {
			s.Count, s.Value = 1+g.rnd.Int64N(9), g.rnd.Int64N(1e12)
		}
		if g.rnd.IntN(9) == 0 {
			s.TraceID, s.SpanID = [16]byte{byte(g.rnd.IntN(9))}, [8]byte{byte(g.rnd.IntN(9))}
		}
		b.Samples = append(b.Samples, s)
	}
	return b
}

// definitions returns new definitions, with and without identity.
func (g *generator) definitions() *store.Definitions {
	project := g.project()
	d := &store.Definitions{Project: project}
	if g.rnd.IntN(4) > 0 {
		d.ID = g.id(project, store.BatchStacks)
	}
	for range g.rnd.IntN(6) {
		d.Stacks = append(d.Stacks, pick(g, g.stacks...))
	}
	for range g.rnd.IntN(6) {
		sym := store.Symbol{Frame: g.frameID(), Fallback: g.rnd.IntN(2) == 0}
		for range 1 + g.rnd.IntN(3) {
			sym.Lines = append(sym.Lines, libpf.SourceLine{
				Function: fmt.Sprintf("f%d", g.rnd.IntN(1000)), SystemName: pick(g, "", "_Zf"), File: pick(g, "", "x.c"),
				Line: libpf.SourceLineno(g.rnd.IntN(9)), StartLine: libpf.SourceLineno(g.rnd.IntN(9)),
			})
		}
		d.Symbols = append(d.Symbols, sym)
	}
	for range g.rnd.IntN(3) {
		d.Executables = append(d.Executables, libpf.Executable{
			FileID: g.file(), FileName: fmt.Sprintf("lib%d.so", g.rnd.IntN(100)), BuildID: pick(g, "", "abcd"), Runtime: pick(g, "", "python"),
		})
	}
	for range g.rnd.IntN(3) {
		h := store.Host{ID: pick(g, "h1", "h2"), Name: pick(g, "", "alpha", "beta"), LastSeen: g.time()}
		if g.rnd.IntN(2) == 0 {
			h.Metadata = map[string]string{"kernel": pick(g, "6.1", "6.6"), "arch": "amd64"}
		}
		d.Hosts = append(d.Hosts, h)
	}
	for range g.rnd.IntN(3) {
		d.Metrics = append(d.Metrics, store.MetricPoint{HostID: "h1", Time: libpf.UnixTime32(g.rnd.Uint32()), ID: 7, Value: -3})
	}
	return d
}

// deletion returns a deletion of a little.
func (g *generator) deletion() *store.Deletion {
	d := &store.Deletion{Project: pick(g, "other", "", "default")}
	if d.Project != "default" && g.rnd.IntN(3) == 0 {
		return d // all of it
	}
	q := g.query()
	d.Matchers = q.Matchers
	if g.rnd.IntN(2) == 0 {
		d.Types = []libpf.SampleType{libpf.SampleOffCPU, libpf.SampleInuseSpace}
	}
	if a := g.time(); g.rnd.IntN(2) == 0 || d.Whole() {
		d.From, d.To = a, a+libpf.UnixTimeNs(g.rnd.Int64N(int64(10*time.Minute)))
	}
	return d
}

// query returns a query for samples.
func (g *generator) query() *store.Query {
	q := &store.Query{
		Project: g.project(), Type: pick(g, libpf.SampleOnCPU, libpf.SampleOnCPU, libpf.SampleOffCPU, libpf.SampleInuseSpace, 0),
		From: Base - 1, To: Base + libpf.UnixTimeNs(time.Hour),
		ByStack: g.rnd.IntN(2) == 0,
	}
	if g.rnd.IntN(2) == 0 {
		a, b := g.time(), g.time()
		q.From, q.To = min(a, b), max(a, b)
	}
	if g.rnd.IntN(3) == 0 {
		q.Step = pick(g, time.Second, time.Minute, 7*time.Minute)
	}
	switch g.rnd.IntN(8) {
	case 0:
		q.TraceIDs = [][16]byte{{byte(g.rnd.IntN(9))}, {byte(g.rnd.IntN(9))}}
	case 1:
		q.SpanIDs = [][8]byte{{byte(g.rnd.IntN(9))}}
	}
	if g.rnd.IntN(4) == 0 { // one for roll-ups
		q.Step = pick(g, 0, 0, time.Minute, time.Hour)
		q.GroupBy = pick(g, nil, []string{store.LabelService}, []string{store.LabelHost, store.LabelService})
		return q
	}
	all := append(slices.Clone(store.BuiltinLabels), "region", "tier", "absent")
	for range g.rnd.IntN(3) {
		q.GroupBy = append(q.GroupBy, pick(g, all...))
	}
	for range g.rnd.IntN(3) {
		name, value := pick(g, store.LabelService, store.LabelComm, "region", store.LabelTID, store.LabelPod), ""
		op := pick(g, store.MatchEqual, store.MatchNotEqual, store.MatchRegexp, store.MatchNotRegexp)
		switch op {
		case store.MatchEqual, store.MatchNotEqual:
			value = pick(g, "web", "main", "eu", "101", "")
		default:
			value = pick(g, "web|db", "m.*", "", "1.[12]", "p-.")
		}
		m, err := store.NewMatcher(name, op, value)
		if err != nil {
			panic(err) // the expressions above are constant
		}
		q.Matchers = append(q.Matchers, m)
	}
	return q
}
