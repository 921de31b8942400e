// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// realName is the bit of a symbol's version that puts names above fallbacks.
const realName = 1 << 63

// cloneDefinitions returns a copy that shares nothing that the caller may change.
func cloneDefinitions(d *store.Definitions) *store.Definitions {
	c := *d
	c.Stacks = slices.Clone(d.Stacks)
	for i := range c.Stacks {
		c.Stacks[i].Frames = slices.Clone(c.Stacks[i].Frames)
	}
	c.Symbols = slices.Clone(d.Symbols)
	for i := range c.Symbols {
		c.Symbols[i].Lines = slices.Clone(c.Symbols[i].Lines)
	}
	c.Executables, c.Metrics = slices.Clone(d.Executables), slices.Clone(d.Metrics)
	c.Hosts = slices.Clone(d.Hosts)
	for i := range c.Hosts {
		c.Hosts[i].Metadata = maps.Clone(c.Hosts[i].Metadata)
	}
	return &c
}

// putDefinitions writes the definitions of items, in their order: the later one
// of the same thing wins. Writing the same again does no harm, so nothing has to
// be undone when it fails half-way.
func (s *Store) putDefinitions(items []*item) error {
	var stacks stackRows
	var symbols symbolRows
	var executables executableRows
	var metrics metricRows
	var hosts []*store.Definitions
	for _, i := range items {
		d := i.defs
		if d == nil {
			continue
		}
		v := s.nextVersion()
		for k := range d.Stacks {
			stacks.add(d.Project, &d.Stacks[k], v)
		}
		for k := range d.Symbols {
			symbols.add(d.Project, &d.Symbols[k], s.nextVersion())
		}
		for k := range d.Executables {
			executables.add(d.Project, &d.Executables[k], s.nextVersion())
		}
		for k := range d.Metrics {
			metrics.add(d.Project, &d.Metrics[k], s.nextVersion())
		}
		if len(d.Hosts) > 0 {
			hosts = append(hosts, d)
		}
	}
	for _, t := range []struct {
		name    string
		rows    int
		columns []Column
	}{
		{tableStacks, len(stacks.project), stacks.columns()},
		{tableSymbols, len(symbols.project), symbols.columns()},
		{tableExecutables, len(executables.project), executables.columns()},
		{tableMetrics, len(metrics.project), metrics.columns()},
	} {
		if t.rows == 0 {
			continue
		}
		if err := step(func(ctx context.Context) error { return s.insert(ctx, t.name, t.columns) }); err != nil {
			return fmt.Errorf("insert %s: %w", t.name, err)
		}
	}
	if len(hosts) > 0 {
		return step(func(ctx context.Context) error { return s.putHosts(ctx, hosts) })
	}
	return nil
}

type stackRows struct {
	project, stack     []string
	types              [][]uint8
	files              [][]string
	addresses, lines   [][]uint64
	functions, sources [][]string
	version            []uint64
}

func (r *stackRows) add(project string, st *store.Stack, version uint64) {
	n := len(st.Frames)
	types, files, addresses := make([]uint8, n), make([]string, n), make([]uint64, n)
	functions, sources, lines := make([]string, n), make([]string, n), make([]uint64, n)
	for i := range st.Frames {
		f := &st.Frames[i]
		types[i], files[i], addresses[i] = uint8(f.Type), bytesOf(f.FileID.Hash128), uint64(f.AddressOrLineno)
		functions[i], sources[i], lines[i] = f.FunctionName, f.SourceFile, uint64(f.SourceLine)
	}
	r.project, r.stack = append(r.project, project), append(r.stack, bytesOf(st.Hash.Hash128))
	r.types, r.files, r.addresses = append(r.types, types), append(r.files, files), append(r.addresses, addresses)
	r.functions, r.sources, r.lines = append(r.functions, functions), append(r.sources, sources), append(r.lines, lines)
	r.version = append(r.version, version)
}

func (r *stackRows) columns() []Column {
	return []Column{
		{"project", r.project}, {"stack", r.stack}, {"frame_type", r.types}, {"file", r.files}, {"address", r.addresses},
		{"function", r.functions}, {"source", r.sources}, {"line", r.lines}, {"version", r.version},
	}
}

type symbolRows struct {
	project, file               []string
	address, version            []uint64
	functions, systems, sources [][]string
	lines, starts               [][]uint64
}

func (r *symbolRows) add(project string, sym *store.Symbol, version uint64) {
	n := len(sym.Lines)
	functions, systems, sources := make([]string, n), make([]string, n), make([]string, n)
	lines, starts := make([]uint64, n), make([]uint64, n)
	for i, l := range sym.Lines {
		functions[i], systems[i], sources[i] = l.Function, l.SystemName, l.File
		lines[i], starts[i] = uint64(l.Line), uint64(l.StartLine)
	}
	if !sym.Fallback {
		version |= realName
	}
	r.project, r.file = append(r.project, project), append(r.file, bytesOf(sym.Frame.FileID.Hash128))
	r.address, r.version = append(r.address, uint64(sym.Frame.AddressOrLineno)), append(r.version, version)
	r.functions, r.systems, r.sources = append(r.functions, functions), append(r.systems, systems), append(r.sources, sources)
	r.lines, r.starts = append(r.lines, lines), append(r.starts, starts)
}

func (r *symbolRows) columns() []Column {
	return []Column{
		{"project", r.project}, {"file", r.file}, {"address", r.address}, {"function", r.functions}, {"system_name", r.systems},
		{"source", r.sources}, {"line", r.lines}, {"start_line", r.starts}, {"version", r.version},
	}
}

type executableRows struct {
	project, file, name, build, runtime []string
	version                             []uint64
}

func (r *executableRows) add(project string, e *libpf.Executable, version uint64) {
	r.project, r.file, r.name = append(r.project, project), append(r.file, bytesOf(e.FileID.Hash128)), append(r.name, e.FileName)
	r.build, r.runtime, r.version = append(r.build, e.BuildID), append(r.runtime, e.Runtime), append(r.version, version)
}

func (r *executableRows) columns() []Column {
	return []Column{
		{"project", r.project}, {"file", r.file}, {"name", r.name}, {"build_id", r.build}, {"runtime", r.runtime}, {"version", r.version},
	}
}

type metricRows struct {
	project, host []string
	id            []uint32
	times         []time.Time
	value         []int64
	version       []uint64
}

func (r *metricRows) add(project string, m *store.MetricPoint, version uint64) {
	r.project, r.host, r.id = append(r.project, project), append(r.host, m.HostID), append(r.id, m.ID)
	r.times, r.value, r.version = append(r.times, m.Time.Time()), append(r.value, m.Value), append(r.version, version)
}

func (r *metricRows) columns() []Column {
	return []Column{
		{"project", r.project}, {"host_id", r.host}, {"id", r.id}, {"time", r.times}, {"value", r.value}, {"version", r.version},
	}
}

// putHosts merges descriptions of hosts with what is known and writes the result.
// Two collection agents that do so for one host at the same time may lose what one
// of them adds; hosts report themselves again and again.
func (s *Store) putHosts(ctx context.Context, list []*store.Definitions) error {
	s.hosts.Lock()
	defer s.hosts.Unlock()
	type key struct{ project, id string }
	merged := make(map[key]store.Host)
	var order []key
	known := make(map[string]bool)
	for _, d := range list {
		if !known[d.Project] {
			known[d.Project] = true
			hosts, err := s.Hosts(ctx, d.Project)
			if err != nil {
				return fmt.Errorf("look hosts up: %w", err)
			}
			for _, h := range hosts {
				merged[key{d.Project, h.ID}] = h
			}
		}
		for _, h := range d.Hosts {
			k := key{d.Project, h.ID}
			if old, ok := merged[k]; ok {
				h = old.Merge(&h)
			}
			merged[k] = h
			if !slices.Contains(order, k) {
				order = append(order, k)
			}
		}
	}
	var project, id, name []string
	var seen []int64
	var names, values [][]string
	var version []uint64
	for _, k := range order {
		h := merged[k]
		project, id, name, seen = append(project, k.project), append(id, k.id), append(name, h.Name), append(seen, int64(h.LastSeen))
		metadataNames, metadataValues := []string{}, []string{}
		for _, n := range slices.Sorted(maps.Keys(h.Metadata)) {
			metadataNames, metadataValues = append(metadataNames, n), append(metadataValues, h.Metadata[n])
		}
		names, values = append(names, metadataNames), append(values, metadataValues)
		version = append(version, s.nextVersion())
	}
	return s.insert(ctx, tableHosts, []Column{
		{"project", project}, {"host_id", id}, {"name", name}, {"last_seen", seen}, {"metadata_names", names},
		{"metadata_values", values}, {"version", version},
	})
}
