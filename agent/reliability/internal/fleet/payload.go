// SPDX-License-Identifier: Apache-2.0

// Package fleet plays many agents at once, for little CPU: the bytes of the
// requests are made once, and each send adds an identity and a time to them.
package fleet

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/synth"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// Payload is what the agents of a fleet send: the same software runs on all hosts.
// It is safe for concurrent use.
type Payload struct {
	// definitions are requests without identity, in the order in which they are sent.
	definitions []request
	// counts are requests with samples, without identity and base time.
	counts  [][]byte
	samples int
	span    time.Duration
}

type request struct {
	method string
	kind   int // of the sequence
	body   []byte
}

// Numbers of fields of the protocol that are added to a request.
const (
	fieldBatch    = 1 // of every request
	fieldBaseTime = 10

	batchHostID   = 1
	batchRunID    = 2
	batchSequence = 3
	batchHostName = 4
)

const variants = 8

// NewPayload makes batches of the given number of samples, which are spread over span.
func NewPayload(seed uint64, samples int, span time.Duration) (*Payload, error) {
	g := synth.New(seed, 8, 240)
	p := &Payload{samples: samples, span: span}
	stacks := &stackTable{frames: map[libpf.FrameID]uint32{}, seen: map[libpf.TraceHash]bool{}, req: &pb.SetFramesForTracesRequest{StringTable: []string{""}}}
	names := &pb.AddFrameMetadataRequest{StringTable: []string{""}}
	for range variants {
		m := counts(g, stacks, samples, span)
		b, err := proto.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("encode samples: %w", err)
		}
		p.counts = append(p.counts, b)
	}
	executables := &pb.AddExecutableMetadataRequest{}
	for i, e := range g.Executables() {
		if i < 8 {
			executables.HiFileIds = append(executables.HiFileIds, e.FileID.Hi())
			executables.LoFileIds = append(executables.LoFileIds, e.FileID.Lo())
			executables.FileNames = append(executables.FileNames, e.FileName)
			executables.BuildIds = append(executables.BuildIds, e.BuildID)
		}
	}
	stacks.name(names)
	for i, d := range []struct {
		method string
		m      proto.Message
	}{
		{pb.CollectionAgent_AddExecutableMetadata_FullMethodName, executables},
		{pb.CollectionAgent_AddFrameMetadata_FullMethodName, names},
		{pb.CollectionAgent_SetFramesForTraces_FullMethodName, stacks.req},
		{pb.CollectionAgent_ReportHostMetadata_FullMethodName, &pb.ReportHostMetadataRequest{
			Timestamp: uint64(time.Now().Unix()), Metadata: map[string]string{"agent.version": "reliability", "host.kernel": "6.1"}, //nolint:gosec // after 1970
		}},
	} {
		b, err := proto.Marshal(d.m)
		if err != nil {
			return nil, fmt.Errorf("encode definitions: %w", err)
		}
		p.definitions = append(p.definitions, request{d.method, i, b})
	}
	return p, nil
}

// counts makes a request with samples and adds their stacks to the table.
func counts(g *synth.Generator, stacks *stackTable, samples int, span time.Duration) *pb.AddCountsForTracesRequest {
	m := &pb.AddCountsForTracesRequest{StringTable: []string{""}, DefaultValue: int64(50 * time.Millisecond), DefaultType: uint32(libpf.SampleOnCPU)}
	texts := map[string]uint32{"": 0}
	text := func(s string) uint32 {
		if _, ok := texts[s]; !ok {
			texts[s] = uint32(len(m.StringTable)) //nolint:gosec // small
			m.StringTable = append(m.StringTable, s)
		}
		return texts[s]
	}
	traces, processes := map[libpf.TraceHash]uint32{}, map[*libpf.Process]uint32{}
	threads, sources := map[libpf.TID]uint32{}, map[[2]uint32]uint32{}
	step := int64(span) / int64(samples)
	for range samples {
		s := g.Next(time.Unix(0, 0))
		if _, ok := traces[s.Trace.Hash]; !ok {
			traces[s.Trace.Hash] = uint32(len(traces)) //nolint:gosec // small
			m.HiTraceHashes = append(m.HiTraceHashes, s.Trace.Hash.Hi())
			m.LoTraceHashes = append(m.LoTraceHashes, s.Trace.Hash.Lo())
			stacks.add(s.Trace)
		}
		if _, ok := processes[s.Process]; !ok {
			processes[s.Process] = uint32(len(processes)) //nolint:gosec // small
			m.Processes = append(m.Processes, &pb.Process{
				Pid: uint32(s.Process.PID), StartTime: s.Process.StartTime, Name: text(s.Process.Name), Executable: text(s.Process.Executable),
				HiExecutableId: s.Process.ExecutableID.Hi(), LoExecutableId: s.Process.ExecutableID.Lo(),
				ContainerId: text(s.Process.ContainerID), PodName: text(s.Process.PodName), Namespace: text(s.Process.Namespace),
				Service: text(s.Process.Service),
			})
		}
		if _, ok := threads[s.TID]; !ok {
			threads[s.TID] = uint32(len(threads)) //nolint:gosec // small
			m.ThreadTids = append(m.ThreadTids, uint32(s.TID))
			m.ThreadComms = append(m.ThreadComms, text(s.Comm))
		}
		source := [2]uint32{processes[s.Process], threads[s.TID]}
		if _, ok := sources[source]; !ok {
			sources[source] = uint32(len(sources)) //nolint:gosec // small
			m.SourceProcesses = append(m.SourceProcesses, source[0])
			m.SourceThreads = append(m.SourceThreads, source[1])
		}
		m.TimeDeltas = append(m.TimeDeltas, step)
		m.Stacks = append(m.Stacks, traces[s.Trace.Hash])
		m.Sources = append(m.Sources, sources[source])
		m.Cpus = append(m.Cpus, s.CPU)
	}
	return m
}

// stackTable collects the stacks of all requests.
type stackTable struct {
	req    *pb.SetFramesForTracesRequest
	frames map[libpf.FrameID]uint32
	lines  []libpf.SourceLine // of each frame
	seen   map[libpf.TraceHash]bool
	files  []libpf.FileID
}

func (t *stackTable) add(trace *libpf.Trace) {
	if t.seen[trace.Hash] {
		return
	}
	t.seen[trace.Hash] = true
	r := t.req
	r.HiTraceHashes = append(r.HiTraceHashes, trace.Hash.Hi())
	r.LoTraceHashes = append(r.LoTraceHashes, trace.Hash.Lo())
	r.FrameCounts = append(r.FrameCounts, uint32(len(trace.Frames))) //nolint:gosec // small
	for i := range trace.Frames {
		f := &trace.Frames[i]
		n, ok := t.frames[f.ID()]
		if !ok {
			n = uint32(len(t.frames)) //nolint:gosec // small
			t.frames[f.ID()] = n
			t.lines = append(t.lines, f.Lines[0])
			r.FrameTypes = append(r.FrameTypes, uint32(f.Type))
			r.FrameFiles = append(r.FrameFiles, t.file(f.FileID))
			r.FrameAddresses = append(r.FrameAddresses, uint64(f.AddressOrLineno))
		}
		r.Frames = append(r.Frames, n)
	}
}

func (t *stackTable) file(id libpf.FileID) uint32 {
	for i, have := range t.files {
		if have == id {
			return uint32(i) //nolint:gosec // small
		}
	}
	t.files = append(t.files, id)
	t.req.HiFileIds = append(t.req.HiFileIds, id.Hi())
	t.req.LoFileIds = append(t.req.LoFileIds, id.Lo())
	return uint32(len(t.files) - 1) //nolint:gosec // small
}

// name writes the names of all frames.
func (t *stackTable) name(m *pb.AddFrameMetadataRequest) {
	m.HiFileIds, m.LoFileIds = t.req.HiFileIds, t.req.LoFileIds
	for i, line := range t.lines {
		m.Files = append(m.Files, t.req.FrameFiles[i])
		m.Addresses = append(m.Addresses, t.req.FrameAddresses[i])
		m.LineCounts = append(m.LineCounts, 1)
		m.Functions = append(m.Functions, uint32(len(m.StringTable)))       //nolint:gosec // small
		m.SourceFiles = append(m.SourceFiles, uint32(len(m.StringTable)+1)) //nolint:gosec // small
		m.StringTable = append(m.StringTable, line.Function, line.File)
		m.Lines = append(m.Lines, uint64(line.Line))
	}
}

// identify appends the identity of a request. Fields of a message may stand in any order.
func identify(b []byte, hostID, runID string, sequence uint64) []byte {
	n := protowire.SizeTag(batchHostID) + protowire.SizeBytes(len(hostID)) +
		protowire.SizeTag(batchRunID) + protowire.SizeBytes(len(runID)) +
		protowire.SizeTag(batchSequence) + protowire.SizeVarint(sequence) +
		protowire.SizeTag(batchHostName) + protowire.SizeBytes(len(hostID))
	b = protowire.AppendTag(b, fieldBatch, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(n)) //nolint:gosec // positive
	b = protowire.AppendTag(b, batchHostID, protowire.BytesType)
	b = protowire.AppendString(b, hostID)
	b = protowire.AppendTag(b, batchRunID, protowire.BytesType)
	b = protowire.AppendString(b, runID)
	b = protowire.AppendTag(b, batchSequence, protowire.VarintType)
	b = protowire.AppendVarint(b, sequence)
	b = protowire.AppendTag(b, batchHostName, protowire.BytesType)
	return protowire.AppendString(b, hostID)
}

// at appends the time that the samples of a request begin with.
func at(b []byte, t time.Time) []byte {
	b = protowire.AppendTag(b, fieldBaseTime, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(t.UnixNano())) //nolint:gosec // after 1970
}
