// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// Names of the queues, the types of batches, and of what is counted about them.
const (
	laneCounts      = "counts"
	laneStacks      = "frames"
	laneNames       = "frame_metadata"
	laneSymbols     = "fallback_symbols"
	laneExecutables = "executables"
	laneHost        = "host_metadata"
	laneMetrics     = "metrics"
)

const (
	// maxRows bounds a lease: what 128 busy CPUs produce in 5 s at 25 Hz.
	maxRows = 1 << 14
	// maxRequestBytes is the target for the size of requests, whatever the server allows:
	// the limit of gRPC servers that were not configured.
	maxRequestBytes = 4 << 20
	// minLearntLimit is the least that is concluded from refusals. Batches that are still
	// too large are cut one by one.
	minLearntLimit = 64 << 10
)

// derived is the definitions that must be sealed before the samples of a lease.
type derived struct {
	executables []execDef
	names       []nameDef
	symbols     []symbolDef
	stacks      []stackDef
}

// fill implements source.
func (r *GRPCReporter) fill(final bool) bool {
	if r.backlog.full() && !final {
		return false
	}
	var d derived
	d.executables = r.executables.lease(r.executables.maxItems)
	d.names = r.names.lease(r.names.maxItems)
	d.symbols = r.symbols.lease(r.symbols.maxItems)
	d.stacks = r.stacks.lease(r.stacks.maxItems)
	for i := range d.stacks {
		if named := r.deriveNames(d.stacks[i].value, nil, &d); named {
			r.stacks.amend(d.stacks[i].key, r.named.Load())
		}
	}
	rows := r.samples.lease(maxRows)
	if len(rows) > 0 {
		rows = r.clock.window().keep(r.samples, rows)
	}
	used := r.derive(rows, &d)
	if used < len(rows) {
		r.samples.giveBack(rows[used:])
		clear(rows[used:])
		rows = rows[:used]
	}

	sealed := false
	seal := func(l *lane, c cargo) {
		for _, b := range sealAll(l, c, r.requestLimit(), r.pump.meters.setAside) {
			r.backlog.push(b)
			sealed = true
		}
	}
	if len(d.executables) > 0 {
		seal(r.lanes[laneExecutables], r.executableCargo(d.executables))
	}
	if len(d.names) > 0 {
		seal(r.lanes[laneNames], r.nameCargo(d.names))
	}
	if len(d.symbols) > 0 {
		seal(r.lanes[laneSymbols], r.symbolCargo(d.symbols))
	}
	if len(d.stacks) > 0 {
		seal(r.lanes[laneStacks], r.stackCargo(d.stacks))
	}
	if len(rows) > 0 {
		seal(r.lanes[laneCounts], newCountsCargo(r, sortRows(rows), false))
	}
	for _, h := range r.hosts.lease() {
		seal(r.lanes[laneHost], &hostCargo{r: r, host: h})
	}
	if now := time.Now(); final || now.Sub(r.metricsSent) >= r.settings.timers.metrics {
		r.metricsSent = now
		var points []metricPoint
		for _, entry := range r.metrics.lease() {
			points = append(points, entry...)
		}
		if len(points) > 0 {
			seal(r.lanes[laneMetrics], &metricsCargo{r: r, points: points})
		}
	}
	return sealed
}

// reseal implements source.
func (r *GRPCReporter) reseal(kind string, c cargo, limit int) []*batch {
	return sealAll(r.lanes[kind], c, min(limit, r.requestLimit()), r.pump.meters.setAside)
}

// learn implements source.
func (r *GRPCReporter) learn(limit int) {
	r.limit.Store(min(r.limit.Load(), int64(max(limit, minLearntLimit))))
}

// full reports that the derived definitions of one kind fill a queue's measure,
// so that the lease should end here.
func (d *derived) full(r *GRPCReporter) bool {
	return len(d.executables) >= r.executables.maxItems || len(d.names) >= r.names.maxItems ||
		len(d.symbols) >= r.symbols.maxItems || len(d.stacks) >= r.stacks.maxItems
}

// derive adds what the server lacks for the rows to d, and returns for how many
// rows that is: all of them, or less when d is full.
func (r *GRPCReporter) derive(rows []libpf.Sample, d *derived) int {
	clear(r.seen)
	fresh := 0
	for i := range rows {
		t := rows[i].Trace
		if _, ok := r.seen[t]; ok {
			continue
		}
		if fresh > 0 && d.full(r) {
			return i
		}
		fresh++
		r.seen[t] = struct{}{}
		if len(t.Frames) == 0 {
			// A hash alone: what it stands for may have been reported by itself.
			def, ok := r.stacks.lookup(t.Hash)
			if !ok {
				continue
			}
			t = def.value
		}
		r.deriveTrace(t, rows[i].Process, d)
	}
	return len(rows)
}

func (r *GRPCReporter) deriveTrace(t *libpf.Trace, p *libpf.Process, d *derived) {
	note, known := r.stacks.state(t.Hash)
	if known && note == r.named.Load() {
		return
	}
	named := r.deriveNames(t, p, d)
	def := stackDef{key: t.Hash, value: t, content: noteUnnamed}
	if named {
		def.content = r.named.Load()
	}
	if !known && r.stacks.claim(def) {
		d.stacks = append(d.stacks, def)
	} else if named {
		r.stacks.amend(t.Hash, r.named.Load())
	}
}

// deriveNames adds the names and executables of a stack that the server lacks,
// and reports whether every frame has a name.
func (r *GRPCReporter) deriveNames(t *libpf.Trace, p *libpf.Process, d *derived) bool {
	all := true
	var last libpf.FileID
	for i := range t.Frames {
		f := &t.Frames[i]
		if f.FileID != last && !f.FileID.IsZero() {
			last = f.FileID
			if def, ok := r.executable(f.FileID, p); ok && r.executables.claim(def) {
				d.executables = append(d.executables, def)
			}
		}
		if f.FunctionName != "" {
			continue // named as it was captured
		}
		switch def, symbol, kind := r.namesOf(f); kind {
		case byLines:
			if r.names.claim(def) {
				d.names = append(d.names, def)
			}
		case bySymbol:
			if r.symbols.claim(symbol) {
				d.symbols = append(d.symbols, symbol)
			}
		default:
			all = false
		}
	}
	return all
}

// unname begins a new generation: some names or executables that were as good as sent
// are unknown again, so the stacks that need them must be looked at again.
func (r *GRPCReporter) unname() { r.named.Add(1) }

func (r *GRPCReporter) resendStack(t *libpf.Trace) {
	if len(t.Frames) == 0 {
		def, ok := r.stacks.lookup(t.Hash)
		if !ok {
			// It will come with the next sample that has it, if there is one.
			r.stacks.lack(t.Hash)
			return
		}
		t = def.value
	}
	r.stacks.resend(stackDef{key: t.Hash, value: t, content: noteUnnamed})
}

func (r *GRPCReporter) resendNames(f *libpf.Frame) {
	switch def, symbol, kind := r.namesOf(f); kind {
	case byLines:
		r.names.resend(def)
	case bySymbol:
		r.symbols.resend(symbol)
	}
}

func (r *GRPCReporter) resendExecutable(id libpf.FileID) {
	if def, ok := r.executables.lookup(id); ok {
		r.executables.resend(def)
	}
}

func (r *GRPCReporter) executableCargo(defs []execDef) *defCargo[libpf.FileID, *libpf.Executable] {
	return &defCargo[libpf.FileID, *libpf.Executable]{
		r: r, kind: laneExecutables, store: r.executables, defs: defs,
		write: func(c *defCargo[libpf.FileID, *libpf.Executable], id *pb.Batch) proto.Message {
			return encodeExecutables(id, c.defs)
		},
		response: func() acked { return &pb.AddExecutableMetadataResponse{} },
	}
}

func (r *GRPCReporter) nameCargo(defs []nameDef) *defCargo[libpf.FrameID, []libpf.SourceLine] {
	return &defCargo[libpf.FrameID, []libpf.SourceLine]{
		r: r, kind: laneNames, store: r.names, defs: defs,
		write: func(c *defCargo[libpf.FrameID, []libpf.SourceLine], id *pb.Batch) proto.Message {
			return encodeNames(id, c.defs)
		},
		response: func() acked { return &pb.AddFrameMetadataResponse{} },
	}
}

func (r *GRPCReporter) symbolCargo(defs []symbolDef) *defCargo[libpf.FrameID, string] {
	return &defCargo[libpf.FrameID, string]{
		r: r, kind: laneSymbols, store: r.symbols, defs: defs,
		write: func(c *defCargo[libpf.FrameID, string], id *pb.Batch) proto.Message {
			return encodeSymbols(id, c.defs)
		},
		response: func() acked { return &pb.AddFallbackSymbolsResponse{} },
	}
}

func (r *GRPCReporter) stackCargo(defs []stackDef) *defCargo[libpf.TraceHash, *libpf.Trace] {
	return &defCargo[libpf.TraceHash, *libpf.Trace]{
		r: r, kind: laneStacks, store: r.stacks, defs: defs,
		write: func(c *defCargo[libpf.TraceHash, *libpf.Trace], id *pb.Batch) proto.Message {
			req, tables := encodeStacks(id, c.defs)
			c.tables = tables
			return req
		},
		response: func() acked { return &pb.SetFramesForTracesResponse{} },
	}
}
