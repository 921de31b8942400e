// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// Native makes requests of this project's own protocol. It is safe for concurrent use.
type Native struct {
	w      *Workload
	hashes []libpf.TraceHash
	files  []libpf.FileID // of the services' executables
}

// Native returns the workload in the project's own protocol.
func (w *Workload) Native() *Native {
	n := &Native{w: w}
	for s := range w.Services {
		n.files = append(n.files, libpf.FileIDFromBuildID(buildID(s)))
	}
	var frames []libpf.Frame
	for i := range w.Stacks {
		frames = frames[:0]
		for _, l := range w.Stacks[i].Locations {
			frames = append(frames, n.frame(&w.Locations[l]))
		}
		n.hashes = append(n.hashes, libpf.HashTrace(frames))
	}
	return n
}

// Hash returns the identity of a stack.
func (n *Native) Hash(stack int) libpf.TraceHash { return n.hashes[stack] }

// HostID returns the identity of a host.
func HostID(host int) string { return fmt.Sprintf("%032x", host+1) }

func buildID(service int) string { return fmt.Sprintf("%040x", service+1) }

func (n *Native) frame(l *Location) libpf.Frame {
	return libpf.Frame{Type: libpf.NativeFrame, FileID: n.files[l.Service], AddressOrLineno: libpf.AddressOrLineno(l.Address)}
}

// RunID returns the run of the agent of a host.
func RunID(host int) []byte {
	h := xxh3.HashString128(HostName(host))
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, h.Hi), h.Lo)
}

func batch(host, sequence int) *pb.Batch {
	return &pb.Batch{
		HostId: HostID(host), HostName: HostName(host), RunId: RunID(host), Sequence: uint64(sequence + 1), //nolint:gosec // not negative
	}
}

// table numbers values.
type table[K comparable] struct {
	index map[K]uint32
	list  []K
}

func (t *table[K]) of(k K) uint32 {
	if i, ok := t.index[k]; ok {
		return i
	}
	if t.index == nil {
		t.index = make(map[K]uint32)
	}
	i := uint32(len(t.list)) //nolint:gosec // of a request
	t.index[k] = i
	t.list = append(t.list, k)
	return i
}

// texts starts a table of texts, the first of which is "".
func texts() *table[string] {
	t := &table[string]{}
	t.of("")
	return t
}

// Counts returns the samples of a host in a window that starts at a time, and how many they are.
func (n *Native) Counts(host, window int, start int64) (r *pb.AddCountsForTracesRequest, samples, observations int) {
	w := n.w
	text := texts()
	r = &pb.AddCountsForTracesRequest{Batch: batch(host, window), BaseTime: start, DefaultType: uint32(libpf.SampleOnCPU)}
	for s, name := range w.Services {
		r.Processes = append(r.Processes, &pb.Process{
			Pid: uint32(1000 + s), StartTime: uint64(1+s) * 1e9, Name: text.of(name), Executable: text.of("/usr/bin/" + name), //nolint:gosec // small
			Namespace: text.of("shop"), Service: text.of(name), HiExecutableId: n.files[s].Hi(), LoExecutableId: n.files[s].Lo(),
		})
		r.ThreadTids = append(r.ThreadTids, uint32(1000+s)) //nolint:gosec // small
		r.ThreadComms = append(r.ThreadComms, text.of(name))
		r.SourceProcesses = append(r.SourceProcesses, uint32(s)) //nolint:gosec // small
		r.SourceThreads = append(r.SourceThreads, uint32(s))     //nolint:gosec // small
		for _, sample := range w.Window(host, window, s) {
			h := n.hashes[sample.Stack]
			r.Stacks = append(r.Stacks, uint32(len(r.HiTraceHashes))) //nolint:gosec // of a request
			r.HiTraceHashes, r.LoTraceHashes = append(r.HiTraceHashes, h.Hi()), append(r.LoTraceHashes, h.Lo())
			r.TimeDeltas = append(r.TimeDeltas, 0)
			r.Sources = append(r.Sources, uint32(s))          //nolint:gosec // small
			r.Counts = append(r.Counts, uint32(sample.Count)) //nolint:gosec // small
			r.Values = append(r.Values, sample.Count*PeriodNs)
			samples++
			observations += int(sample.Count)
		}
	}
	r.StringTable = text.list
	return r, samples, observations
}

// Again returns a request with the samples of another, as if they were those of a
// host in a window that starts at a time. Both share what they hold.
func Again(r *pb.AddCountsForTracesRequest, host, window int, start int64) *pb.AddCountsForTracesRequest {
	return &pb.AddCountsForTracesRequest{
		Batch: batch(host, window), BaseTime: start, DefaultType: r.DefaultType, Processes: r.Processes,
		ThreadTids: r.ThreadTids, ThreadComms: r.ThreadComms, SourceProcesses: r.SourceProcesses, SourceThreads: r.SourceThreads,
		Stacks: r.Stacks, HiTraceHashes: r.HiTraceHashes, LoTraceHashes: r.LoTraceHashes, TimeDeltas: r.TimeDeltas,
		Sources: r.Sources, Counts: r.Counts, Values: r.Values, StringTable: r.StringTable,
	}
}

// stacksPerRequest is how many stacks or frames a request defines.
const stacksPerRequest = 2000

// Frames returns the definitions of all stacks.
func (n *Native) Frames(host int) (requests []*pb.SetFramesForTracesRequest) {
	w := n.w
	for first := 0; first < len(w.Stacks); first += stacksPerRequest {
		r := &pb.SetFramesForTracesRequest{Batch: batch(host, len(requests)), StringTable: []string{""}}
		var frames table[int32]
		var files table[int]
		for i := first; i < min(first+stacksPerRequest, len(w.Stacks)); i++ {
			h := n.hashes[i]
			r.HiTraceHashes, r.LoTraceHashes = append(r.HiTraceHashes, h.Hi()), append(r.LoTraceHashes, h.Lo())
			r.FrameCounts = append(r.FrameCounts, uint32(len(w.Stacks[i].Locations))) //nolint:gosec // small
			for _, l := range w.Stacks[i].Locations {
				r.Frames = append(r.Frames, frames.of(l))
			}
		}
		for _, l := range frames.list {
			r.FrameTypes = append(r.FrameTypes, uint32(libpf.NativeFrame))
			r.FrameFiles = append(r.FrameFiles, files.of(w.Locations[l].Service))
			r.FrameAddresses = append(r.FrameAddresses, w.Locations[l].Address)
		}
		for _, s := range files.list {
			r.HiFileIds, r.LoFileIds = append(r.HiFileIds, n.files[s].Hi()), append(r.LoFileIds, n.files[s].Lo())
		}
		requests = append(requests, r)
	}
	return requests
}

// Names returns the names of all frames.
func (n *Native) Names(host int) (requests []*pb.AddFrameMetadataRequest) {
	w := n.w
	for first := 0; first < len(w.Locations); first += stacksPerRequest {
		r := &pb.AddFrameMetadataRequest{Batch: batch(host, len(requests))}
		text := texts()
		var files table[int]
		for i := first; i < min(first+stacksPerRequest, len(w.Locations)); i++ {
			l := &w.Locations[i]
			f := &w.Functions[l.Function]
			r.Files = append(r.Files, files.of(l.Service))
			r.Addresses = append(r.Addresses, l.Address)
			r.LineCounts = append(r.LineCounts, 1)
			r.Functions = append(r.Functions, text.of(f.Name))
			r.SourceFiles = append(r.SourceFiles, text.of(f.File))
			r.Lines = append(r.Lines, uint64(l.Line))                //nolint:gosec // positive
			r.StartLines = append(r.StartLines, uint64(f.StartLine)) //nolint:gosec // positive
		}
		for _, s := range files.list {
			r.HiFileIds, r.LoFileIds = append(r.HiFileIds, n.files[s].Hi()), append(r.LoFileIds, n.files[s].Lo())
		}
		r.StringTable = text.list
		requests = append(requests, r)
	}
	return requests
}

// Executables returns the definitions of all executables.
func (n *Native) Executables(host int) *pb.AddExecutableMetadataRequest {
	r := &pb.AddExecutableMetadataRequest{Batch: batch(host, 0)}
	for s, name := range n.w.Services {
		r.HiFileIds, r.LoFileIds = append(r.HiFileIds, n.files[s].Hi()), append(r.LoFileIds, n.files[s].Lo())
		r.FileNames, r.BuildIds = append(r.FileNames, name), append(r.BuildIds, buildID(s))
	}
	return r
}
