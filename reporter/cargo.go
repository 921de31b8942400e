// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// acked is what the responses of the protocol have in common.
type acked interface {
	proto.Message
	GetAck() *pb.Ack
}

func marshal(m proto.Message) ([]byte, error) {
	// Deterministic, so that equal reports are equal bytes.
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// countsCargo is samples.
type countsCargo struct {
	r      *GRPCReporter
	rows   []libpf.Sample
	sum    uint64 // of the counts
	bytes  int
	traces []*libpf.Trace // the stack table of the request, kept to send again what the server lacks
	// shared: rows is part of a buffer whose other part lives on.
	shared bool
}

func newCountsCargo(r *GRPCReporter, rows []libpf.Sample, shared bool) *countsCargo {
	c := &countsCargo{r: r, rows: rows, shared: shared}
	for i := range rows {
		c.sum += uint64(rows[i].Count)
	}
	return c
}

func (c *countsCargo) encode(sequence uint64) ([]byte, error) {
	req, traces := encodeCounts(c.r.identity(sequence), c.rows)
	c.traces = traces
	c.bytes = len(c.rows) * rowBytes
	for _, t := range traces {
		c.bytes += sizeOfTrace(t)
	}
	return marshal(req)
}

func (*countsCargo) newResponse() proto.Message { return &pb.AddCountsForTracesResponse{} }

func (c *countsCargo) acknowledge(resp proto.Message) {
	c.settle("")
	r, ok := resp.(*pb.AddCountsForTracesResponse)
	if !ok {
		return
	}
	c.r.noteAck(laneCounts, r.GetAck())
	for _, i := range r.GetUnknownStacks() {
		if int(i) < len(c.traces) {
			c.r.resendStack(c.traces[i])
		}
	}
}

func (c *countsCargo) discard(reason string) { c.settle(reason) }

func (c *countsCargo) settle(reason string) {
	c.r.samples.settle(c.sum, reason)
	if !c.shared {
		c.r.samples.release(c.rows)
	}
	c.rows = nil
}

func (c *countsCargo) halves() (first, second cargo, ok bool) {
	if len(c.rows) < 2 {
		return nil, nil, false
	}
	n := len(c.rows) / 2
	return newCountsCargo(c.r, c.rows[:n:n], true), newCountsCargo(c.r, c.rows[n:], true), true
}

func (c *countsCargo) held() int      { return c.bytes }
func (c *countsCargo) weight() uint64 { return c.sum }
func (c *countsCargo) fromDisk()      { c.r.samples.unspool(c.sum) }

// toDisk remembers the stacks: when the batch is sent, the server may have lost them.
func (c *countsCargo) toDisk() {
	c.r.samples.spool(c.sum)
	c.r.rememberStacks(c.traces)
}

func (c *countsCargo) within(w window) (rest cargo, ok bool) {
	before := len(c.rows)
	rows := w.keep(c.r.samples, c.rows)
	if len(rows) == before {
		return nil, false
	}
	c.rows = nil
	if len(rows) == 0 {
		return nil, true
	}
	return newCountsCargo(c.r, rows, true), true
}

// defCargo is definitions of one kind.
type defCargo[K comparable, V any] struct {
	r     *GRPCReporter
	kind  string
	store *definitions[K, V]
	defs  []definition[K, V]
	bytes int
	epoch string // the server's when the batch was sealed

	write    func(c *defCargo[K, V], id *pb.Batch) proto.Message
	response func() acked
	thawed   bool // read from disk
	// tables is set by write for stacks.
	tables stackTables
}

func (c *defCargo[K, V]) encode(sequence uint64) ([]byte, error) {
	c.epoch = c.r.currentEpoch()
	c.bytes = 0
	for i := range c.defs {
		c.bytes += c.store.size(c.defs[i].value)
	}
	return marshal(c.write(c, c.r.identity(sequence)))
}

func (c *defCargo[K, V]) newResponse() proto.Message { return c.response() }

func (c *defCargo[K, V]) acknowledge(resp proto.Message) {
	r, ok := resp.(acked)
	if !ok {
		return
	}
	c.r.noteAck(c.kind, r.GetAck())
	// A batch that was stored in an earlier life of the server's memory is a
	// duplicate whose content may be gone: it travels again under a new identity.
	if r.GetAck().GetDuplicate() && c.epoch != "" && c.epoch != string(r.GetAck().GetEpoch()) {
		c.store.requeue(c.defs)
		return
	}
	// When one from disk was stored, nobody knows.
	if r.GetAck().GetDuplicate() && c.thawed {
		c.store.pass(c.defs)
		c.r.unname()
		return
	}
	c.store.acknowledge(c.defs)
	if stacks, ok := resp.(*pb.SetFramesForTracesResponse); ok {
		for _, i := range stacks.GetUnknownFiles() {
			if int(i) < len(c.tables.files) {
				c.r.resendExecutable(c.tables.files[i])
			}
		}
		for _, i := range stacks.GetUnnamedFrames() {
			if int(i) < len(c.tables.frames) {
				c.r.resendNames(c.tables.frames[i])
			}
		}
	}
}

func (c *defCargo[K, V]) discard(string) { c.store.setAside(c.defs) }

func (c *defCargo[K, V]) halves() (first, second cargo, ok bool) {
	if len(c.defs) < 2 {
		return nil, nil, false
	}
	n := len(c.defs) / 2
	a, b := *c, *c
	a.defs, b.defs = c.defs[:n:n], c.defs[n:]
	return &a, &b, true
}

func (c *defCargo[K, V]) held() int                 { return c.bytes }
func (c *defCargo[K, V]) toDisk()                   { c.store.toDisk(c.defs) }
func (c *defCargo[K, V]) fromDisk()                 { c.store.fromDisk(c.defs) }
func (*defCargo[K, V]) weight() uint64              { return 0 }
func (*defCargo[K, V]) within(window) (cargo, bool) { return nil, false }

// metricsCargo is values of metrics.
type metricsCargo struct {
	weightless
	r      *GRPCReporter
	points []metricPoint
}

func (c *metricsCargo) encode(sequence uint64) ([]byte, error) {
	return marshal(encodeMetrics(c.r.identity(sequence), c.points))
}
func (*metricsCargo) newResponse() proto.Message { return &pb.AddMetricsResponse{} }
func (c *metricsCargo) acknowledge(resp proto.Message) {
	if r, ok := resp.(acked); ok {
		c.r.noteAck(laneMetrics, r.GetAck())
	}
}
func (*metricsCargo) discard(string) {}
func (c *metricsCargo) halves() (first, second cargo, ok bool) {
	if len(c.points) < 2 {
		return nil, nil, false
	}
	n := len(c.points) / 2
	return &metricsCargo{r: c.r, points: c.points[:n]}, &metricsCargo{r: c.r, points: c.points[n:]}, true
}
func (c *metricsCargo) held() int { return len(c.points) * 16 }

// hostCargo is one description of the host.
type hostCargo struct {
	weightless
	r    *GRPCReporter
	host HostMetadata
}

func (c *hostCargo) encode(sequence uint64) ([]byte, error) {
	return marshal(encodeHost(c.r.identity(sequence), c.host))
}
func (*hostCargo) newResponse() proto.Message { return &pb.ReportHostMetadataResponse{} }
func (c *hostCargo) acknowledge(resp proto.Message) {
	if r, ok := resp.(acked); ok {
		c.r.noteAck(laneHost, r.GetAck())
	}
}
func (*hostCargo) discard(string)                         {}
func (*hostCargo) halves() (first, second cargo, ok bool) { return nil, nil, false }
func (c *hostCargo) held() int                            { return sizeOfHost(c.host) }

func sizeOfHost(h HostMetadata) int {
	n := 0
	for k, v := range h.Metadata {
		n += len(k) + len(v) + 2*mapSlotBytes
	}
	return n
}
