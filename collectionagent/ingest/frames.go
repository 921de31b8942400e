// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"math"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// fileTable checks and converts the file table of a request.
func (v *validator) fileTable(hi, lo []uint64) ([]libpf.FileID, error) {
	if err := hashes("file_ids", hi, lo); err != nil {
		return nil, err
	}
	if err := v.meter.charge("hi_file_ids", len(hi), 2*hashBytes); err != nil {
		return nil, err
	}
	files := make([]libpf.FileID, len(hi))
	for i := range files {
		files[i] = libpf.NewFileID(hi[i], lo[i])
	}
	return files, nil
}

// frames checks and converts a request with stacks. It also returns the frame
// table, which the answer refers to.
func (v *validator) frames(r *pb.SetFramesForTracesRequest, project string) (*store.Definitions, []libpf.Frame, error) {
	id, err := v.batch(r.Batch, project, store.BatchStacks)
	if err != nil {
		return nil, nil, err
	}
	table, err := v.frameTable(r)
	if err != nil {
		return nil, nil, err
	}
	d := &store.Definitions{ID: id, Project: project}
	if err := hashes("trace_hashes", r.HiTraceHashes, r.LoTraceHashes); err != nil {
		return nil, nil, err
	}
	if err := sameLength("frame_counts", len(r.FrameCounts), "hi_trace_hashes", len(r.HiTraceHashes)); err != nil {
		return nil, nil, err
	}
	if err := v.meter.charge("frames", len(r.Frames), frameBytes); err != nil {
		return nil, nil, err
	}
	if err := v.meter.charge("frame_counts", len(r.FrameCounts), entryBytes); err != nil {
		return nil, nil, err
	}
	rest, used := r.Frames, 0
	d.Stacks = make([]store.Stack, len(r.FrameCounts))
	for i, n := range r.FrameCounts {
		switch {
		case n == 0:
			return nil, nil, invalid(at("frame_counts", i), "is 0, a stack has at least one frame")
		case int64(n) > int64(v.limits.MaxFrames):
			return nil, nil, invalid(at("frame_counts", i), "is %d, at most %d are allowed", n, v.limits.MaxFrames)
		case int64(n) > int64(len(rest)):
			return nil, nil, invalid("frames", "has %d entries, the stacks up to %d have more", len(r.Frames), i)
		}
		frames := make([]libpf.Frame, n)
		for j, f := range rest[:n] {
			if int64(f) >= int64(len(table)) {
				return nil, nil, index(at("frames", used+j), f, "frame table", len(table))
			}
			frames[j] = table[f]
		}
		rest, used = rest[n:], used+int(n)
		hash := libpf.NewTraceHash(r.HiTraceHashes[i], r.LoTraceHashes[i])
		if want := libpf.HashTrace(frames); hash != want {
			return nil, nil, invalid(at("hi_trace_hashes", i), "hash %s is not that of the frames, %s", hash, want)
		}
		d.Stacks[i] = store.Stack{Hash: hash, Frames: frames}
	}
	if len(rest) > 0 {
		return nil, nil, invalid("frames", "has %d entries, the stacks have %d", len(r.Frames), used)
	}
	return d, table, nil
}

// frameTable checks and converts the frame table of a request.
func (v *validator) frameTable(r *pb.SetFramesForTracesRequest) ([]libpf.Frame, error) {
	texts, err := v.stringTable(r.StringTable)
	if err != nil {
		return nil, err
	}
	files, err := v.fileTable(r.HiFileIds, r.LoFileIds)
	if err != nil {
		return nil, err
	}
	n := len(r.FrameTypes)
	for _, err := range []error{
		sameLength("frame_files", len(r.FrameFiles), "frame_types", n),
		sameLength("frame_addresses", len(r.FrameAddresses), "frame_types", n),
		optionalLength("frame_functions", len(r.FrameFunctions), "frame_types", n),
		optionalLength("frame_source_files", len(r.FrameSourceFiles), "frame_types", n),
		optionalLength("frame_source_lines", len(r.FrameSourceLines), "frame_types", n),
		texts.column("frame_functions", r.FrameFunctions),
		texts.column("frame_source_files", r.FrameSourceFiles),
	} {
		if err != nil {
			return nil, err
		}
	}
	if err := v.meter.charge("frame_types", n, 2*frameBytes); err != nil { // and what is looked up of them
		return nil, err
	}
	table := make([]libpf.Frame, n)
	for i := range table {
		t := r.FrameTypes[i]
		if t > math.MaxUint8 || !libpf.FrameType(t).Valid() {
			return nil, invalid(at("frame_types", i), "%d is not a type of frame", t)
		}
		if err := index(at("frame_files", i), r.FrameFiles[i], "file table", len(files)); err != nil {
			return nil, err
		}
		table[i] = libpf.Frame{
			Type:            libpf.FrameType(t),
			FileID:          files[r.FrameFiles[i]],
			AddressOrLineno: libpf.AddressOrLineno(r.FrameAddresses[i]),
			FunctionName:    texts.of(r.FrameFunctions, i),
			SourceFile:      texts.of(r.FrameSourceFiles, i),
		}
		if len(r.FrameSourceLines) > 0 {
			table[i].SourceLine = libpf.SourceLineno(r.FrameSourceLines[i])
		}
	}
	return table, nil
}

// frameMetadata checks and converts a request with names of frames.
func (v *validator) frameMetadata(r *pb.AddFrameMetadataRequest, project string) (*store.Definitions, error) {
	id, err := v.batch(r.Batch, project, store.BatchFrameMetadata)
	if err != nil {
		return nil, err
	}
	texts, err := v.stringTable(r.StringTable)
	if err != nil {
		return nil, err
	}
	files, err := v.fileTable(r.HiFileIds, r.LoFileIds)
	if err != nil {
		return nil, err
	}
	n, lines := len(r.Files), len(r.Functions)
	for _, err := range []error{
		sameLength("addresses", len(r.Addresses), "files", n),
		sameLength("line_counts", len(r.LineCounts), "files", n),
		optionalLength("system_names", len(r.SystemNames), "functions", lines),
		sameLength("source_files", len(r.SourceFiles), "functions", lines),
		sameLength("lines", len(r.Lines), "functions", lines),
		optionalLength("start_lines", len(r.StartLines), "functions", lines),
		texts.column("functions", r.Functions),
		texts.column("system_names", r.SystemNames),
		texts.column("source_files", r.SourceFiles),
	} {
		if err != nil {
			return nil, err
		}
	}
	if err := v.meter.charge("files", n, symbolBytes); err != nil {
		return nil, err
	}
	if err := v.meter.charge("functions", lines, lineBytes); err != nil {
		return nil, err
	}
	d := &store.Definitions{ID: id, Project: project, Symbols: make([]store.Symbol, n)}
	next := 0
	for i, count := range r.LineCounts {
		switch {
		case count == 0:
			return nil, invalid(at("line_counts", i), "is 0, a frame has at least one line")
		case count > maxLines:
			return nil, invalid(at("line_counts", i), "is %d, at most %d are allowed", count, maxLines)
		case int64(count) > int64(lines-next):
			return nil, invalid("functions", "has %d entries, the frames up to %d have more", lines, i)
		}
		if err := index(at("files", i), r.Files[i], "file table", len(files)); err != nil {
			return nil, err
		}
		sym := &d.Symbols[i]
		sym.Frame = libpf.NewFrameID(files[r.Files[i]], libpf.AddressOrLineno(r.Addresses[i]))
		sym.Lines = make([]libpf.SourceLine, count)
		for j := range sym.Lines {
			sym.Lines[j] = libpf.SourceLine{
				Function:   texts[r.Functions[next]],
				SystemName: texts.of(r.SystemNames, next),
				File:       texts[r.SourceFiles[next]],
				Line:       libpf.SourceLineno(r.Lines[next]),
			}
			if len(r.StartLines) > 0 {
				sym.Lines[j].StartLine = libpf.SourceLineno(r.StartLines[next])
			}
			next++
		}
	}
	if next != lines {
		return nil, invalid("functions", "has %d entries, the frames have %d lines", lines, next)
	}
	return d, nil
}

// fallbackSymbols checks and converts a request with makeshift names.
func (v *validator) fallbackSymbols(r *pb.AddFallbackSymbolsRequest, project string) (*store.Definitions, error) {
	id, err := v.batch(r.Batch, project, store.BatchFallbackSymbols)
	if err != nil {
		return nil, err
	}
	files, err := v.fileTable(r.HiFileIds, r.LoFileIds)
	if err != nil {
		return nil, err
	}
	if err := sameLength("addresses", len(r.Addresses), "hi_file_ids", len(files)); err != nil {
		return nil, err
	}
	if err := sameLength("symbols", len(r.Symbols), "hi_file_ids", len(files)); err != nil {
		return nil, err
	}
	d := &store.Definitions{ID: id, Project: project}
	if err := v.meter.charge("symbols", len(r.Symbols), 2*symbolBytes+lineBytes); err != nil {
		return nil, err
	}
	for i, name := range r.Symbols {
		if err := v.text(at("symbols", i), name); err != nil {
			return nil, err
		}
		if name == "" {
			continue // names nothing
		}
		d.Symbols = append(d.Symbols, store.Symbol{
			Frame:    libpf.NewFrameID(files[i], libpf.AddressOrLineno(r.Addresses[i])),
			Lines:    []libpf.SourceLine{{Function: name}},
			Fallback: true,
		})
	}
	return d, nil
}
