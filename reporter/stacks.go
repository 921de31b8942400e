// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

type (
	stackDef  = definition[libpf.TraceHash, *libpf.Trace]
	nameDef   = definition[libpf.FrameID, []libpf.SourceLine]
	symbolDef = definition[libpf.FrameID, string]
	execDef   = definition[libpf.FileID, *libpf.Executable]
)

// noteUnnamed is the note of a stack of which some frames had no names yet when it was
// last looked at. One that is named has the number of the generation of names; see
// [GRPCReporter.unname].
const noteUnnamed = 0

func contentOfLines(lines []libpf.SourceLine) uint64 {
	var h xxh3.Hasher
	var sep = []byte{0xff} // not part of any UTF-8 text
	var numbers [16]byte
	for i := range lines {
		l := &lines[i]
		system := l.SystemName
		if system == l.Function {
			system = "" // as it is written
		}
		for _, s := range [...]string{l.Function, system, l.File} {
			_, _ = h.WriteString(s) // cannot fail
			_, _ = h.Write(sep)
		}
		b := binary.LittleEndian.AppendUint64(numbers[:0], uint64(l.Line))
		_, _ = h.Write(binary.LittleEndian.AppendUint64(b, uint64(l.StartLine)))
	}
	return h.Sum64()
}

func contentOfSymbol(symbol string) uint64 { return xxh3.HashString(symbol) }

func contentOfExecutable(e *libpf.Executable) uint64 {
	return xxh3.HashString(e.FileName) ^ xxh3.HashStringSeed(e.BuildID, 1) ^ xxh3.HashStringSeed(e.Runtime, 2)
}

func sizeOfLines(lines []libpf.SourceLine) int {
	n := mapSlotBytes
	for i := range lines {
		n += lineBytes + len(lines[i].Function) + len(lines[i].SystemName) + len(lines[i].File)
	}
	return n
}

func sizeOfSymbol(symbol string) int { return mapSlotBytes + 40 + len(symbol) }

func sizeOfExecutable(e *libpf.Executable) int {
	return mapSlotBytes + 64 + len(e.FileName) + len(e.BuildID) + len(e.Runtime)
}

// frameKey is the identity of a frame; see [libpf.HashTrace].
type frameKey struct {
	kind       libpf.FrameType
	file       libpf.FileID
	address    libpf.AddressOrLineno
	function   string
	sourceFile string
	sourceLine libpf.SourceLineno
}

// stackTables is what the indices of a response to SetFramesForTraces refer to.
type stackTables struct {
	frames []*libpf.Frame
	files  []libpf.FileID
}

// encodeStacks writes the definitions of stacks.
func encodeStacks(id *pb.Batch, defs []stackDef) (*pb.SetFramesForTracesRequest, stackTables) {
	req := &pb.SetFramesForTracesRequest{Batch: id}
	texts, files, frames := newTextTable(), newTable[libpf.FileID](), newTable[frameKey]()
	var t stackTables
	named := false
	for i := range defs {
		trace := defs[i].value
		req.HiTraceHashes = append(req.HiTraceHashes, trace.Hash.Hi())
		req.LoTraceHashes = append(req.LoTraceHashes, trace.Hash.Lo())
		req.FrameCounts = append(req.FrameCounts, uint32(len(trace.Frames))) //nolint:gosec // thousands at most
		for j := range trace.Frames {
			f := &trace.Frames[j]
			at, isNew := frames.add(frameKey{
				kind: f.Type, file: f.FileID, address: f.AddressOrLineno,
				function: f.FunctionName, sourceFile: f.SourceFile, sourceLine: f.SourceLine,
			})
			req.Frames = append(req.Frames, at)
			if !isNew {
				continue
			}
			file, isNew := files.add(f.FileID)
			if isNew {
				t.files = append(t.files, f.FileID)
				req.HiFileIds = append(req.HiFileIds, f.FileID.Hi())
				req.LoFileIds = append(req.LoFileIds, f.FileID.Lo())
			}
			t.frames = append(t.frames, f)
			req.FrameTypes = append(req.FrameTypes, uint32(f.Type))
			req.FrameFiles = append(req.FrameFiles, file)
			req.FrameAddresses = append(req.FrameAddresses, uint64(f.AddressOrLineno))
			req.FrameFunctions = append(req.FrameFunctions, texts.add(f.FunctionName))
			req.FrameSourceFiles = append(req.FrameSourceFiles, texts.add(f.SourceFile))
			req.FrameSourceLines = append(req.FrameSourceLines, uint64(f.SourceLine))
			named = named || f.FunctionName != "" || f.SourceFile != "" || f.SourceLine != 0
		}
	}
	if !named {
		req.FrameFunctions, req.FrameSourceFiles, req.FrameSourceLines = nil, nil, nil
	}
	req.StringTable = texts.texts
	return req, t
}

// encodeNames writes names of frames.
func encodeNames(id *pb.Batch, defs []nameDef) *pb.AddFrameMetadataRequest {
	req := &pb.AddFrameMetadataRequest{Batch: id}
	texts, files := newTextTable(), newTable[libpf.FileID]()
	systemNames, startLines := false, false
	for i := range defs {
		frame := defs[i].key
		file, isNew := files.add(frame.FileID)
		if isNew {
			req.HiFileIds = append(req.HiFileIds, frame.FileID.Hi())
			req.LoFileIds = append(req.LoFileIds, frame.FileID.Lo())
		}
		req.Files = append(req.Files, file)
		req.Addresses = append(req.Addresses, uint64(frame.AddressOrLineno))
		req.LineCounts = append(req.LineCounts, uint32(len(defs[i].value))) //nolint:gosec // inlined functions
		for j := range defs[i].value {
			l := &defs[i].value[j] //nolint:gosec // j is of this slice
			req.Functions = append(req.Functions, texts.add(l.Function))
			system := uint32(0)
			if l.SystemName != l.Function {
				system = texts.add(l.SystemName)
			}
			req.SystemNames = append(req.SystemNames, system)
			req.SourceFiles = append(req.SourceFiles, texts.add(l.File))
			req.Lines = append(req.Lines, uint64(l.Line))
			req.StartLines = append(req.StartLines, uint64(l.StartLine))
			systemNames = systemNames || system != 0
			startLines = startLines || l.StartLine != 0
		}
	}
	if !systemNames {
		req.SystemNames = nil
	}
	if !startLines {
		req.StartLines = nil
	}
	req.StringTable = texts.texts
	return req
}

// encodeSymbols writes fallback symbols.
func encodeSymbols(id *pb.Batch, defs []symbolDef) *pb.AddFallbackSymbolsRequest {
	req := &pb.AddFallbackSymbolsRequest{Batch: id}
	for i := range defs {
		frame := defs[i].key
		req.HiFileIds = append(req.HiFileIds, frame.FileID.Hi())
		req.LoFileIds = append(req.LoFileIds, frame.FileID.Lo())
		req.Addresses = append(req.Addresses, uint64(frame.AddressOrLineno))
		req.Symbols = append(req.Symbols, cleanText(defs[i].value))
	}
	return req
}

// encodeExecutables writes executables.
func encodeExecutables(id *pb.Batch, defs []execDef) *pb.AddExecutableMetadataRequest {
	req := &pb.AddExecutableMetadataRequest{Batch: id}
	withRuntime := false
	for i := range defs {
		req.HiFileIds = append(req.HiFileIds, defs[i].key.Hi())
		req.LoFileIds = append(req.LoFileIds, defs[i].key.Lo())
		req.FileNames = append(req.FileNames, cleanText(defs[i].value.FileName))
		req.BuildIds = append(req.BuildIds, cleanText(defs[i].value.BuildID))
		req.Runtimes = append(req.Runtimes, cleanText(defs[i].value.Runtime))
		withRuntime = withRuntime || defs[i].value.Runtime != ""
	}
	if !withRuntime {
		req.Runtimes = nil
	}
	return req
}

// metricPoint is one value of one metric.
type metricPoint struct {
	timestamp, id uint32
	value         int64
}

func encodeMetrics(id *pb.Batch, points []metricPoint) *pb.AddMetricsRequest {
	req := &pb.AddMetricsRequest{Batch: id}
	for _, p := range points {
		req.Timestamps = append(req.Timestamps, p.timestamp)
		req.Ids = append(req.Ids, p.id)
		req.Values = append(req.Values, p.value)
	}
	return req
}

func encodeHost(id *pb.Batch, h HostMetadata) *pb.ReportHostMetadataRequest {
	req := &pb.ReportHostMetadataRequest{Batch: id, Timestamp: h.Timestamp, Metadata: make(map[string]string, len(h.Metadata))}
	for k, v := range h.Metadata {
		req.Metadata[cleanText(k)] = cleanText(v)
	}
	return req
}
