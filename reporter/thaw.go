// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// What is on disk passed a checksum, but another version of the agent may have
// written it, so every index is checked.

var errSpooled = errors.New("a spooled batch is not what this version writes")

// columnReader looks up what the columns of a request refer to, and notes what is wrong.
type columnReader struct {
	texts []string
	err   error
}

func (r *columnReader) fail(column string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errSpooled, column)
	}
}

// at returns an element, or the zero value when there is none.
func at[T any, I uint32 | int](r *columnReader, list []T, i I, column string) T {
	if uint64(i) >= uint64(len(list)) { //nolint:gosec // a negative one is large
		r.fail(column)
		var zero T
		return zero
	}
	return list[i]
}

// optional is at for a column that is empty when all are the default.
func optional[T any](r *columnReader, list []T, i int, standard T, column string) T {
	if len(list) == 0 {
		return standard
	}
	return at(r, list, i, column)
}

func (r *columnReader) text(i uint32) string { return at(r, r.texts, i, "string_table") }

// byte returns the number of a type. One that no type of this version can have must not
// become that of another.
func (r *columnReader) byte(n uint32, column string) uint8 {
	if n > math.MaxUint8 {
		r.fail(column)
		return 0
	}
	return uint8(n)
}

func (r *columnReader) file(hi, lo []uint64, i uint32) libpf.FileID {
	return libpf.NewFileID(at(r, hi, i, "hi_file_ids"), at(r, lo, i, "lo_file_ids"))
}

func (r *columnReader) labels(set *pb.LabelSet) []libpf.Label {
	keys, values := set.GetKeys(), set.GetValues()
	if len(keys) != len(values) {
		r.fail("labels")
		return nil
	}
	var labels []libpf.Label
	for i := range keys {
		labels = append(labels, libpf.Label{Key: r.text(keys[i]), Value: r.text(values[i])})
	}
	return labels
}

// decodeCounts is the inverse of encodeCounts. trace finds the stack of a hash.
func decodeCounts(payload []byte, trace func(libpf.TraceHash) *libpf.Trace) ([]libpf.Sample, error) {
	var req pb.AddCountsForTracesRequest
	if err := proto.Unmarshal(payload, &req); err != nil {
		return nil, fmt.Errorf("%w: %w", errSpooled, err)
	}
	r := &columnReader{texts: req.GetStringTable()}
	traces := make([]*libpf.Trace, len(req.GetHiTraceHashes()))
	for i, hash := range traceHashes(r, &req) {
		traces[i] = trace(hash)
	}
	processes := make([]*libpf.Process, len(req.GetProcesses()))
	for i, p := range req.GetProcesses() {
		processes[i] = r.process(p)
	}
	sets := make([][]libpf.Label, 1+len(req.GetLabelSets()))
	for i, set := range req.GetLabelSets() {
		sets[i+1] = r.labels(set)
	}
	rows := make([]libpf.Sample, len(req.GetTimeDeltas()))
	now := req.GetBaseTime()
	for i, delta := range req.GetTimeDeltas() {
		now += delta
		source := at(r, req.GetSources(), i, "sources")
		thread := at(r, req.GetSourceThreads(), source, "source_threads")
		row := libpf.Sample{
			Time:    libpf.UnixTimeNs(now),
			Type:    libpf.SampleType(r.byte(optional(r, req.GetTypes(), i, req.GetDefaultType(), "types"), "types")),
			Count:   max(optional(r, req.GetCounts(), i, 1, "counts"), 1),
			Value:   optional(r, req.GetValues(), i, req.GetDefaultValue(), "values"),
			Trace:   at(r, traces, at(r, req.GetStacks(), i, "stacks"), "stacks"),
			Process: at(r, processes, at(r, req.GetSourceProcesses(), source, "source_processes"), "processes"),
			TID:     libpf.TID(at(r, req.GetThreadTids(), thread, "thread_tids")), //nolint:gosec // written from one
			Comm:    r.text(at(r, req.GetThreadComms(), thread, "thread_comms")),
			CPU:     optional(r, req.GetCpus(), i, 0, "cpus"),
			Labels:  at(r, sets, optional(r, req.GetLabels(), i, 0, "labels"), "label_sets"),
		}
		if ref := optional(r, req.GetSpanRefs(), i, 0, "span_refs"); ref > 0 {
			if span := at(r, req.GetSpans(), ref-1, "spans"); len(span) == len(row.TraceID)+len(row.SpanID) {
				copy(row.TraceID[:], span)
				copy(row.SpanID[:], span[len(row.TraceID):])
			}
		}
		if r.err != nil {
			return nil, r.err
		}
		rows[i] = row
	}
	return rows, r.err
}

func traceHashes(r *columnReader, req *pb.AddCountsForTracesRequest) []libpf.TraceHash {
	hashes := make([]libpf.TraceHash, len(req.GetHiTraceHashes()))
	for i, hi := range req.GetHiTraceHashes() {
		hashes[i] = libpf.NewTraceHash(hi, at(r, req.GetLoTraceHashes(), i, "lo_trace_hashes"))
	}
	return hashes
}

func (r *columnReader) process(p *pb.Process) *libpf.Process {
	return &libpf.Process{
		PID: libpf.PID(p.GetPid()), StartTime: p.GetStartTime(), //nolint:gosec // written from one
		Name: r.text(p.GetName()), Executable: r.text(p.GetExecutable()),
		ExecutableID: libpf.NewFileID(p.GetHiExecutableId(), p.GetLoExecutableId()),
		CommandLine:  r.text(p.GetCommandLine()), ContainerID: r.text(p.GetContainerId()),
		ContainerName: r.text(p.GetContainerName()), PodName: r.text(p.GetPodName()),
		Namespace: r.text(p.GetNamespace()), Service: r.text(p.GetService()), CgroupID: p.GetCgroupId(),
		Labels: r.labels(p.GetLabels()),
	}
}

// decodeStacks is the inverse of encodeStacks.
func decodeStacks(payload []byte) ([]stackDef, stackTables, error) {
	var req pb.SetFramesForTracesRequest
	var tables stackTables
	if err := proto.Unmarshal(payload, &req); err != nil {
		return nil, tables, fmt.Errorf("%w: %w", errSpooled, err)
	}
	r := &columnReader{texts: req.GetStringTable()}
	for i := range req.GetHiFileIds() {
		tables.files = append(tables.files, r.file(req.GetHiFileIds(), req.GetLoFileIds(), uint32(i))) //nolint:gosec // bounded by the request
	}
	frames := make([]libpf.Frame, len(req.GetFrameTypes()))
	for i, kind := range req.GetFrameTypes() {
		frames[i] = libpf.Frame{
			Type:            libpf.FrameType(r.byte(kind, "frame_types")),
			FileID:          r.file(req.GetHiFileIds(), req.GetLoFileIds(), at(r, req.GetFrameFiles(), i, "frame_files")),
			AddressOrLineno: libpf.AddressOrLineno(at(r, req.GetFrameAddresses(), i, "frame_addresses")),
			FunctionName:    r.text(optional(r, req.GetFrameFunctions(), i, 0, "frame_functions")),
			SourceFile:      r.text(optional(r, req.GetFrameSourceFiles(), i, 0, "frame_source_files")),
			SourceLine:      libpf.SourceLineno(optional(r, req.GetFrameSourceLines(), i, 0, "frame_source_lines")),
		}
		tables.frames = append(tables.frames, &frames[i])
	}
	rest := req.GetFrames()
	defs := make([]stackDef, 0, len(req.GetFrameCounts()))
	for i, n := range req.GetFrameCounts() {
		if uint64(n) > uint64(len(rest)) {
			r.fail("frame_counts")
		}
		if r.err != nil {
			return nil, tables, r.err
		}
		trace := &libpf.Trace{
			Hash: libpf.NewTraceHash(at(r, req.GetHiTraceHashes(), i, "hi_trace_hashes"),
				at(r, req.GetLoTraceHashes(), i, "lo_trace_hashes")),
			Frames: make([]libpf.Frame, n),
		}
		for j, index := range rest[:n] {
			trace.Frames[j] = at(r, frames, index, "frames")
		}
		rest = rest[n:]
		defs = append(defs, stackDef{key: trace.Hash, value: trace, content: noteUnnamed})
	}
	return defs, tables, r.err
}

// decodeNames is the inverse of encodeNames.
func decodeNames(payload []byte) ([]nameDef, error) {
	var req pb.AddFrameMetadataRequest
	if err := proto.Unmarshal(payload, &req); err != nil {
		return nil, fmt.Errorf("%w: %w", errSpooled, err)
	}
	r := &columnReader{texts: req.GetStringTable()}
	defs, line := make([]nameDef, 0, len(req.GetFiles())), 0
	for i, file := range req.GetFiles() {
		key := libpf.NewFrameID(r.file(req.GetHiFileIds(), req.GetLoFileIds(), file),
			libpf.AddressOrLineno(at(r, req.GetAddresses(), i, "addresses")))
		var lines []libpf.SourceLine
		for n := at(r, req.GetLineCounts(), i, "line_counts"); n > 0 && r.err == nil; n-- {
			function := at(r, req.GetFunctions(), line, "functions")
			system := optional(r, req.GetSystemNames(), line, 0, "system_names")
			l := libpf.SourceLine{
				Function: r.text(function), SystemName: r.text(system), File: r.text(at(r, req.GetSourceFiles(), line, "source_files")),
				Line:      libpf.SourceLineno(at(r, req.GetLines(), line, "lines")),
				StartLine: libpf.SourceLineno(optional(r, req.GetStartLines(), line, 0, "start_lines")),
			}
			lines = append(lines, l)
			line++
		}
		if r.err != nil {
			return nil, r.err
		}
		defs = append(defs, nameDef{key: key, value: lines, content: contentOfLines(lines)})
	}
	return defs, r.err
}

// decodeSymbols is the inverse of encodeSymbols.
func decodeSymbols(payload []byte) ([]symbolDef, error) {
	var req pb.AddFallbackSymbolsRequest
	if err := proto.Unmarshal(payload, &req); err != nil {
		return nil, fmt.Errorf("%w: %w", errSpooled, err)
	}
	r := &columnReader{}
	defs := make([]symbolDef, 0, len(req.GetSymbols()))
	for i, symbol := range req.GetSymbols() {
		key := libpf.NewFrameID(r.file(req.GetHiFileIds(), req.GetLoFileIds(), uint32(i)), //nolint:gosec // bounded by the request
			libpf.AddressOrLineno(at(r, req.GetAddresses(), i, "addresses")))
		defs = append(defs, symbolDef{key: key, value: symbol, content: contentOfSymbol(symbol)})
	}
	return defs, r.err
}

// decodeExecutables is the inverse of encodeExecutables.
func decodeExecutables(payload []byte) ([]execDef, error) {
	var req pb.AddExecutableMetadataRequest
	if err := proto.Unmarshal(payload, &req); err != nil {
		return nil, fmt.Errorf("%w: %w", errSpooled, err)
	}
	r := &columnReader{}
	defs := make([]execDef, 0, len(req.GetFileNames()))
	for i, name := range req.GetFileNames() {
		e := &libpf.Executable{
			FileID:   r.file(req.GetHiFileIds(), req.GetLoFileIds(), uint32(i)), //nolint:gosec // bounded by the request
			FileName: name, BuildID: at(r, req.GetBuildIds(), i, "build_ids"),
			Runtime: optional(r, req.GetRuntimes(), i, "", "runtimes"),
		}
		defs = append(defs, execDef{key: e.FileID, value: e, content: contentOfExecutable(e)})
	}
	return defs, r.err
}
