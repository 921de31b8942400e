// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// blockRow is a row of a block, as any reader of Parquet sees it.
type blockRow struct {
	Project     string   `parquet:"project,dict"`
	Type        string   `parquet:"type,dict"`
	Service     string   `parquet:"service,dict"`
	Host        string   `parquet:"host,dict"`
	HostID      string   `parquet:"host_id,dict"`
	Namespace   string   `parquet:"namespace,dict"`
	Pod         string   `parquet:"pod,dict"`
	Container   string   `parquet:"container,dict"`
	ContainerID string   `parquet:"container_id,dict"`
	Comm        string   `parquet:"comm,dict"`
	Process     string   `parquet:"process,dict"`
	Executable  string   `parquet:"executable,dict"`
	PID         uint32   `parquet:"pid,delta"`
	Start       uint64   `parquet:"process_start,delta"`
	TID         uint32   `parquet:"tid,delta"`
	Labels      string   `parquet:"labels,dict"` // JSON object
	Stack       [16]byte `parquet:"stack,dict"`
	Time        int64    `parquet:"time,timestamp(millisecond),delta"`
	Count       int64    `parquet:"count,dict"`
	Value       int64    `parquet:"value,dict"`
	TraceID     [16]byte `parquet:"trace_id,dict"`
	SpanID      [8]byte  `parquet:"span_id,dict"`
}

// A row group ends where the service changes, so that the minimum and maximum of
// its service let other readers skip it, but not before it has minGroupRows:
// each group has its own dictionary of stacks, 16 bytes for each. Large services are cut at maxGroupRows,
// which is what one core works on at a time.
const (
	minGroupRows = 1 << 18
	maxGroupRows = 1 << 20
	pageBytes    = 128 << 10

	// A merged block has larger row groups: the dictionaries of stacks are a good part
	// of its bytes, and it is not written in a hurry.
	mergedMinGroupRows = 1 << 20
	mergedMaxGroupRows = 1 << 21
)

// boundless leaves the least and greatest value out where nobody prunes by them:
// finding them is a quarter of the work of writing a block.
func boundless() []parquet.WriterOption {
	options := []parquet.WriterOption{parquet.DataPageStatistics(false)}
	for _, column := range []string{
		"project", "type", "host_id", "namespace", "pod", "container", "container_id", "comm", "process", "executable",
		"pid", "process_start", "tid", "labels", "stack", "trace_id", "span_id",
	} {
		options = append(options, parquet.SkipPageBounds(column))
	}
	return options
}

// sortedHead is the order in which a head is written.
type sortedHead struct {
	view headView
	// seriesOrder lists the indices of series in the order of the block.
	seriesOrder []uint32
	// rows are row numbers, grouped by series in that order, each group sorted by
	// hash of the stack and time; ends[i] is where the group of seriesOrder[i] ends.
	rows []uint32
	ends []int
	// seconds says that all times are whole seconds.
	seconds bool
}

// sortHead sorts the rows of a head that are not older than from (ms).
func sortHead(v headView, from int64) *sortedHead {
	s := &sortedHead{view: v, seriesOrder: make([]uint32, len(v.series)), seconds: true}
	for i := range s.seriesOrder {
		s.seriesOrder[i] = uint32(i) //nolint:gosec // it is the index of a uint32
	}
	slices.SortFunc(s.seriesOrder, func(a, b uint32) int { return v.series[a].Compare(&v.series[b]) })
	stackRank := rankStacks(v.stacks)
	rank := make([]uint32, len(v.series))
	for r, i := range s.seriesOrder {
		rank[i] = uint32(r) //nolint:gosec // as above
	}
	// Distribute rows to their series by counting.
	starts := make([]int, len(v.series)+1)
	eachChunk(v, func(c *chunk, _, n int) {
		for i := range n {
			if c.times[i] >= from {
				starts[rank[c.series[i]]+1]++
				s.seconds = s.seconds && c.times[i]%1000 == 0
			}
		}
	})
	for i := 1; i < len(starts); i++ {
		starts[i] += starts[i-1]
	}
	type entry struct {
		key  uint64 // stack, then the low bits of the time
		time int64
		row  uint32
	}
	entries := make([]entry, starts[len(starts)-1])
	next := slices.Clone(starts)
	eachChunk(v, func(c *chunk, base, n int) {
		for i := range n {
			t := c.times[i]
			if t < from {
				continue
			}
			r := rank[c.series[i]]
			key := uint64(stackRank[c.stacks[i]])<<32 | uint64(min(t-v.minTime, 1<<32-1)) //nolint:gosec // not negative
			entries[next[r]] = entry{key: key, time: t, row: uint32(base + i)}            //nolint:gosec // a head has fewer rows
			next[r]++
		}
	})
	s.ends = starts[1:]
	for r := range s.ends {
		slices.SortFunc(entries[starts[r]:starts[r+1]], func(a, b entry) int {
			if c := cmp.Compare(a.key, b.key); c != 0 {
				return c
			}
			return cmp.Compare(a.time, b.time)
		})
	}
	s.rows = make([]uint32, len(entries))
	for i := range entries {
		s.rows[i] = entries[i].row
	}
	return s
}

// rankStacks returns the place of each stack in the order of hashes, which is the
// order of rows of a series: it is the same in every block, so that blocks can
// be merged as they are read.
func rankStacks(stacks []libpf.TraceHash) []uint32 {
	order := make([]uint32, len(stacks))
	for i := range order {
		order[i] = uint32(i) //nolint:gosec // it is the index of a uint32
	}
	slices.SortFunc(order, func(a, b uint32) int { return stacks[a].Compare(stacks[b].Hash128) })
	rank := make([]uint32, len(stacks))
	for r, i := range order {
		rank[i] = uint32(r) //nolint:gosec // as above
	}
	return rank
}

// eachChunk calls f with every chunk, the number of its first row and how many it has.
func eachChunk(v headView, f func(c *chunk, base, n int)) {
	for i, c := range v.chunks {
		base := i * chunkRows
		f(c, base, min(chunkRows, v.rows-base))
	}
}

// writeBlock writes the rows of a head from a time on as the block with the
// given number. info is nil when there are none. When it returns, the file is durable.
func writeBlock(ops *fileOps, dir string, number uint64, v headView, from int64) (info *blockInfo, table *tableWriter, err error) {
	sorted := sortHead(v, from)
	if len(sorted.rows) == 0 {
		return nil, nil, nil
	}
	w, err := newSampleFile(ops, filepath.Join(dir, fmt.Sprintf("%d.tmp", number)), sorted.seconds)
	if err != nil {
		return nil, nil, err
	}
	defer w.abandon() // unless it has a name
	if err := writeRows(w, sorted); err != nil {
		return nil, nil, err
	}
	if err := w.finish(); err != nil {
		return nil, nil, err
	}
	info = &blockInfo{
		Number: number, Rows: w.rows, Bytes: w.written, TableBytes: int64(len(w.table.b)), MinTime: w.minTime, MaxTime: w.maxTime, Sorted: true,
	}
	info.Sum = w.sums.sum()
	info.File = fmt.Sprintf("%d-%d-%010d.parquet", info.MinTime, info.MaxTime, number)
	path := filepath.Join(dir, info.File)
	if err := w.name(path); err != nil {
		return nil, nil, err
	}
	if err := ops.syncDir(dir); err != nil {
		_ = ops.remove(path) // else each attempt leaves a file until the next start
		return nil, nil, err
	}
	return info, &w.table, nil
}

// writeRows writes the rows of a head in their order.
func writeRows(w *rowFile[blockRow], s *sortedHead) error {
	v := s.view
	stacks := make([][16]byte, len(v.stacks))
	for i, h := range v.stacks {
		stacks[i] = h.Bytes()
	}
	start := 0
	for r, seriesID := range s.seriesOrder {
		rows := s.rows[start:s.ends[r]]
		start = s.ends[r]
		if len(rows) == 0 {
			continue
		}
		if err := w.begin(&v.series[seriesID]); err != nil {
			return err
		}
		for _, n := range rows {
			c, at := v.chunks[n/chunkRows], n%chunkRows
			out := row{stack: stacks[c.stacks[at]], time: c.times[at], count: c.counts[at], value: c.values[at]}
			if sp := c.spans[at]; sp != 0 {
				out.trace, out.span = v.spans[sp-1].trace, v.spans[sp-1].id
			}
			if err := w.add(&out); err != nil {
				return err
			}
		}
	}
	return nil
}

// seriesRow returns the columns that all rows of a series share.
func seriesRow(s *store.Series) (blockRow, error) {
	labels := "{}"
	if len(s.Labels) > 0 {
		m := make(map[string]string, len(s.Labels))
		for _, l := range s.Labels {
			m[l.Key] = l.Value
		}
		text, err := json.Marshal(m)
		if err != nil {
			return blockRow{}, fmt.Errorf("write labels: %w", err)
		}
		labels = string(text)
	}
	return blockRow{
		Project: s.Project, Type: s.Type.String(), Service: s.Service, Host: s.Host, HostID: s.HostID,
		Namespace: s.Namespace, Pod: s.Pod, Container: s.Container, ContainerID: s.ContainerID,
		Comm: s.Comm, Process: s.Process, Executable: s.Executable,
		PID: uint32(s.PID), Start: s.ProcessStart, TID: uint32(s.TID), Labels: labels,
	}, nil
}
