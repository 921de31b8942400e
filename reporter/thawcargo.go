// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"google.golang.org/protobuf/proto"

	"github.com/elastic/go-freelru"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/reporter/internal/spool"
)

// spoolKinds are the types of batches as they stand on disk; never renumber them.
// Metrics are evicted as counts are, host metadata last, as definitions.
var spoolKinds = [...]struct {
	kind   string
	stream spool.Stream
}{
	1: {laneCounts, spool.Counts},
	2: {laneStacks, spool.Definitions},
	3: {laneNames, spool.Definitions},
	4: {laneSymbols, spool.Definitions},
	5: {laneExecutables, spool.Definitions},
	6: {laneHost, spool.Definitions},
	7: {laneMetrics, spool.Counts},
	8: {laneProfiles, spool.Counts}, // of OTLP, in a directory of its own
}

// rememberedStacks bounds the stacks of samples on disk that are kept in memory.
const rememberedStacks = 1 << 12

// rememberStacks keeps stacks that samples on disk refer to, for the case that the
// server lost them meanwhile.
func (r *GRPCReporter) rememberStacks(traces []*libpf.Trace) {
	if r.remembered == nil {
		r.remembered, _ = freelru.New[libpf.TraceHash, *libpf.Trace](rememberedStacks, libpf.TraceHash.Hash32)
	}
	for _, t := range traces {
		if len(t.Frames) > 0 {
			r.remembered.Add(t.Hash, t)
		}
	}
}

// traceOf returns what this run knows of a stack, at least its hash.
func (r *GRPCReporter) traceOf(hash libpf.TraceHash) *libpf.Trace {
	if r.remembered != nil {
		if t, ok := r.remembered.Get(hash); ok {
			return t
		}
	}
	if def, ok := r.stacks.lookup(hash); ok {
		return def.value
	}
	return &libpf.Trace{Hash: hash}
}

// thaw implements freezer.
func (r *GRPCReporter) thaw(rec *spool.Record) *batch {
	if int(rec.Kind) >= len(spoolKinds) {
		return nil
	}
	l := r.lanes[spoolKinds[rec.Kind].kind]
	if l == nil {
		return nil
	}
	b := &batch{
		kind: l.kind, method: l.method, sequence: rec.Sequence, payload: rec.Payload, order: rec.Order,
		// An earlier run may have tried after it had written the batch.
		unclear: rec.Attempted || rec.Run != r.settings.RunID,
	}
	switch l.kind {
	case laneCounts:
		b.cargo = &thawedCounts{r: r, payload: rec.Payload, sum: rec.Weight}
	case laneHost:
		b.cargo = &thawedOther{r: r, kind: l.kind, response: func() acked { return &pb.ReportHostMetadataResponse{} }}
	case laneMetrics:
		b.cargo = &thawedOther{r: r, kind: l.kind, response: func() acked { return &pb.AddMetricsResponse{} }}
	default:
		b.cargo = r.thawDefinitions(l.kind, rec.Payload)
	}
	return b
}

// evicted implements freezer.
func (r *GRPCReporter) evicted(rec *spool.Record) {
	if rec.Stream == spool.Counts {
		r.samples.lose(rec.Weight, reasonEvicted)
		return
	}
	if int(rec.Kind) < len(spoolKinds) {
		if c, ok := r.thawDefinitions(spoolKinds[rec.Kind].kind, rec.Payload).(interface{ evicted() }); ok {
			c.evicted()
		}
	}
}

func (c *defCargo[K, V]) evicted() {
	c.store.evicted(c.defs)
	c.r.unname()
}

// thawDefinitions makes the cargo of definitions again out of their request. One
// that cannot be read is sent as it is.
func (r *GRPCReporter) thawDefinitions(kind string, payload []byte) cargo {
	switch kind {
	case laneStacks:
		if defs, tables, err := decodeStacks(payload); err == nil {
			c := thawed(r.stackCargo(defs))
			c.tables = tables
			return c
		}
		return &thawedOther{r: r, kind: kind, response: func() acked { return &pb.SetFramesForTracesResponse{} }}
	case laneNames:
		if defs, err := decodeNames(payload); err == nil {
			return thawed(r.nameCargo(defs))
		}
		return &thawedOther{r: r, kind: kind, response: func() acked { return &pb.AddFrameMetadataResponse{} }}
	case laneSymbols:
		if defs, err := decodeSymbols(payload); err == nil {
			return thawed(r.symbolCargo(defs))
		}
		return &thawedOther{r: r, kind: kind, response: func() acked { return &pb.AddFallbackSymbolsResponse{} }}
	case laneExecutables:
		if defs, err := decodeExecutables(payload); err == nil {
			return thawed(r.executableCargo(defs))
		}
		return &thawedOther{r: r, kind: kind, response: func() acked { return &pb.AddExecutableMetadataResponse{} }}
	}
	return nil
}

func thawed[K comparable, V any](c *defCargo[K, V]) *defCargo[K, V] {
	c.thawed = true
	for i := range c.defs {
		c.bytes += c.store.size(c.defs[i].value)
	}
	return c
}

// thawedCounts is samples that were read back from disk. They are decoded only
// when somebody asks for more than their number.
type thawedCounts struct {
	r       *GRPCReporter
	payload []byte
	sum     uint64
}

func (*thawedCounts) encode(uint64) ([]byte, error) { return nil, errSpooled } // it is sealed for good
func (*thawedCounts) newResponse() proto.Message    { return &pb.AddCountsForTracesResponse{} }
func (*thawedCounts) held() int                     { return 0 }
func (c *thawedCounts) weight() uint64              { return c.sum }
func (c *thawedCounts) toDisk()                     { c.r.samples.spool(c.sum) }
func (c *thawedCounts) fromDisk()                   { c.r.samples.unspool(c.sum) }
func (c *thawedCounts) discard(reason string)       { c.r.samples.settle(c.sum, reason) }

func (c *thawedCounts) acknowledge(resp proto.Message) {
	c.r.samples.settle(c.sum, "")
	answer, ok := resp.(*pb.AddCountsForTracesResponse)
	if !ok {
		return
	}
	c.r.noteAck(laneCounts, answer.GetAck())
	if len(answer.GetUnknownStacks()) == 0 {
		return
	}
	var req pb.AddCountsForTracesRequest
	if err := proto.Unmarshal(c.payload, &req); err != nil {
		return // the server read it, so this does not happen
	}
	hashes := traceHashes(&columnReader{}, &req)
	for _, i := range answer.GetUnknownStacks() {
		if int(i) < len(hashes) {
			c.r.resendStack(c.r.traceOf(hashes[i]))
		}
	}
}

// rows decodes the samples. They must weigh what the record said, for the ledger's sake.
func (c *thawedCounts) rows() ([]libpf.Sample, bool) {
	rows, err := decodeCounts(c.payload, c.r.traceOf)
	sum := uint64(0)
	for i := range rows {
		sum += uint64(rows[i].Count)
	}
	return rows, err == nil && sum == c.sum
}

func (c *thawedCounts) halves() (first, second cargo, ok bool) {
	rows, ok := c.rows()
	if !ok {
		return nil, nil, false
	}
	return newCountsCargo(c.r, rows, true).halves()
}

func (c *thawedCounts) within(w window) (rest cargo, ok bool) {
	rows, ok := c.rows()
	if !ok {
		return nil, false
	}
	return newCountsCargo(c.r, rows, true).within(w)
}

// thawedOther is anything else that was read back: it is sent as it is or not at all.
type thawedOther struct {
	weightless
	r        *GRPCReporter
	kind     string
	response func() acked
}

func (*thawedOther) encode(uint64) ([]byte, error) { return nil, errSpooled }
func (c *thawedOther) newResponse() proto.Message  { return c.response() }
func (*thawedOther) discard(string)                {}
func (*thawedOther) halves() (a, b cargo, ok bool) { return nil, nil, false }
func (*thawedOther) held() int                     { return 0 }
func (c *thawedOther) acknowledge(resp proto.Message) {
	if r, ok := resp.(acked); ok {
		c.r.noteAck(c.kind, r.GetAck())
	}
}
