// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// lookup reads the latest definitions of keys, some at a time.
func lookup[K any](ctx context.Context, s *Store, keys []K, build func(q *statement, keys []K), scan func(Rows) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for keys := range slices.Chunk(keys, lookupChunk) {
		var q statement
		build(&q, keys)
		if err := s.each(ctx, q.String(), s.readSettings(), scan); err != nil {
			return err
		}
	}
	return nil
}

// Stacks implements [store.Store].
func (s *Store) Stacks(ctx context.Context, project string, hashes []libpf.TraceHash) (map[libpf.TraceHash][]libpf.Frame, error) {
	found := make(map[libpf.TraceHash][]libpf.Frame, len(hashes))
	err := lookup(ctx, s, hashes, func(q *statement, keys []libpf.TraceHash) {
		q.add("SELECT stack, frame_type, file, address, function, source, line FROM ", s.layout.table(tableStacks), " WHERE project = ").str(project)
		q.add(" AND stack IN ")
		join(q, keys, func(h libpf.TraceHash) { q.str(bytesOf(h.Hash128)) })
		q.add(" ORDER BY stack, version DESC LIMIT 1 BY stack")
	}, func(r Rows) error {
		var stack string
		var types []uint8
		var files, functions, sources []string
		var addresses, lines []uint64
		if err := r.Scan(&stack, &types, &files, &addresses, &functions, &sources, &lines); err != nil {
			return err
		}
		n := min(len(types), len(files), len(addresses), len(functions), len(sources), len(lines))
		frames := make([]libpf.Frame, n)
		for i := range frames {
			frames[i] = libpf.Frame{
				Type: libpf.FrameType(types[i]), FileID: libpf.FileID{Hash128: hash(files[i])}, AddressOrLineno: libpf.AddressOrLineno(addresses[i]),
				FunctionName: functions[i], SourceFile: sources[i], SourceLine: libpf.SourceLineno(lines[i]),
			}
		}
		found[libpf.TraceHash{Hash128: hash(stack)}] = frames
		return nil
	})
	return found, err
}

// Symbols implements [store.Store].
func (s *Store) Symbols(ctx context.Context, project string, frames []libpf.FrameID) (map[libpf.FrameID][]libpf.SourceLine, error) {
	found := make(map[libpf.FrameID][]libpf.SourceLine, len(frames))
	err := lookup(ctx, s, frames, func(q *statement, keys []libpf.FrameID) {
		q.add("SELECT file, address, function, system_name, source, line, start_line FROM ", s.layout.table(tableSymbols), " WHERE project = ").str(project)
		q.add(" AND (file, address) IN ")
		join(q, keys, func(id libpf.FrameID) {
			q.add("(").str(bytesOf(id.FileID.Hash128)).add(", ").uint(uint64(id.AddressOrLineno)).add(")")
		})
		q.add(" ORDER BY file, address, version DESC LIMIT 1 BY file, address")
	}, func(r Rows) error {
		var file string
		var address uint64
		var functions, systems, sources []string
		var lines, starts []uint64
		if err := r.Scan(&file, &address, &functions, &systems, &sources, &lines, &starts); err != nil {
			return err
		}
		all := make([]libpf.SourceLine, min(len(functions), len(systems), len(sources), len(lines), len(starts)))
		for i := range all {
			all[i] = libpf.SourceLine{
				Function: functions[i], SystemName: systems[i], File: sources[i],
				Line: libpf.SourceLineno(lines[i]), StartLine: libpf.SourceLineno(starts[i]),
			}
		}
		found[libpf.NewFrameID(libpf.FileID{Hash128: hash(file)}, libpf.AddressOrLineno(address))] = all
		return nil
	})
	return found, err
}

// Executables implements [store.Store].
func (s *Store) Executables(ctx context.Context, project string, files []libpf.FileID) (map[libpf.FileID]libpf.Executable, error) {
	found := make(map[libpf.FileID]libpf.Executable, len(files))
	err := lookup(ctx, s, files, func(q *statement, keys []libpf.FileID) {
		q.add("SELECT file, name, build_id, runtime FROM ", s.layout.table(tableExecutables), " WHERE project = ").str(project).add(" AND file IN ")
		join(q, keys, func(id libpf.FileID) { q.str(bytesOf(id.Hash128)) })
		q.add(" ORDER BY file, version DESC LIMIT 1 BY file")
	}, func(r Rows) error {
		var file string
		var e libpf.Executable
		if err := r.Scan(&file, &e.FileName, &e.BuildID, &e.Runtime); err != nil {
			return err
		}
		e.FileID = libpf.FileID{Hash128: hash(file)}
		found[e.FileID] = e
		return nil
	})
	return found, err
}

// Hosts implements [store.Store].
func (s *Store) Hosts(ctx context.Context, project string) ([]store.Host, error) {
	var q statement
	q.add("SELECT host_id, name, last_seen, metadata_names, metadata_values FROM ", s.layout.table(tableHosts), " WHERE project = ").str(project)
	q.add(" ORDER BY host_id, version DESC LIMIT 1 BY host_id")
	var all []store.Host
	err := s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
		var h store.Host
		var seen int64
		var names, values []string
		if err := r.Scan(&h.ID, &h.Name, &seen, &names, &values); err != nil {
			return err
		}
		h.LastSeen = libpf.UnixTimeNs(seen)
		for i := range min(len(names), len(values)) {
			if h.Metadata == nil {
				h.Metadata = make(map[string]string, len(names))
			}
			h.Metadata[names[i]] = values[i]
		}
		all = append(all, h)
		return nil
	})
	slices.SortFunc(all, func(a, b store.Host) int { return strings.Compare(a.ID, b.ID) })
	return all, err
}
