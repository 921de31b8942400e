// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"debug/elf"
	"errors"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/gopclntab"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// resolver names the addresses of one executable. Resolvers are asked one
// after the other; one that reads DWARF lines will go before the others. They
// are not safe for concurrent use.
type resolver interface {
	// resolve returns the lines of vaddr, innermost first, or none.
	resolve(vaddr uint64) []libpf.SourceLine
	// bytes returns about how much memory the resolver takes.
	bytes() int64
	close()
}

// load returns the resolvers of an executable. It takes over f.
func (s *Symbolizer) load(f *pfelf.File, exe *Executable) []resolver {
	var resolvers []resolver
	if f.IsGo() || len(f.Sections) == 0 {
		if g := s.loadGo(f); g != nil {
			// The ELF symbols name the C part of the program, which many Go
			// programs do not have: they are read when an address asks for them.
			lazy := &lazyELF{load: func() *elfResolver { return s.loadELF(f, exe) }}
			return append(resolvers, g, lazy)
		}
	}
	resolvers = append(resolvers, s.loadELF(f, exe))
	_ = f.Close() // only read from
	return resolvers
}

// loadGo returns a resolver that keeps f open, nil if it is not a Go program.
func (s *Symbolizer) loadGo(f *pfelf.File) *goResolver {
	t, err := gopclntab.Open(f)
	if err != nil {
		if !errors.Is(err, gopclntab.ErrNotFound) {
			s.metrics.errors.WithLabelValues(reasonGo).Inc()
			s.log.Debug("read Go function table", "error", err)
		}
		return nil
	}
	s.metrics.loaded.WithLabelValues(sourceGo).Inc()
	return &goResolver{file: f, table: t, symbolizer: s}
}

// loadELF returns a resolver of the ELF symbols of f and of its debug data. It
// does not keep f.
func (s *Symbolizer) loadELF(f *pfelf.File, exe *Executable) *elfResolver {
	syms := newELFSymbols(f, s.readLimit)
	source := s.addSymbols(syms, f, exe)
	syms.addPLT(f)
	t, err := syms.build(s.tableLimit)
	if errors.Is(err, errTooLarge) && source != sourceDynsym {
		// Names of what is exported are better than none.
		s.fail(reasonTooLarge, exe, err)
		syms = newELFSymbols(f, s.readLimit)
		if _, err = syms.add(f, elf.SHT_DYNSYM); err == nil {
			source = sourceDynsym
			t, err = syms.build(s.tableLimit)
		}
	}
	if err != nil {
		s.fail(reasonOf(err), exe, err)
		t, source = new(table), sourceNone
	}
	s.metrics.loaded.WithLabelValues(source).Inc()
	return &elfResolver{table: t, names: make(map[uint32]libpf.SourceLine), symbolizer: s}
}

// addSymbols adds the best symbols that can be found: the file's own full
// table, else that of a separate debug file, else the packed one and the
// exported symbols.
func (s *Symbolizer) addSymbols(syms *elfSymbols, f *pfelf.File, exe *Executable) (source string) {
	n, err := syms.add(f, elf.SHT_SYMTAB)
	if err != nil {
		s.fail(reasonOf(err), exe, err)
	}
	if n > 0 {
		return sourceSymtab
	}
	source = sourceNone
	if n, err = syms.add(f, elf.SHT_DYNSYM); err != nil {
		s.fail(reasonOf(err), exe, err)
	} else if n > 0 {
		source = sourceDynsym
	}
	d, err := openDebugFile(f, exe, s.debugDirs)
	if err != nil {
		s.fail(reasonDebugFile, exe, err)
	}
	if d != nil {
		n, err := syms.add(d, elf.SHT_SYMTAB)
		_ = d.Close() // only read from
		if err != nil {
			s.fail(reasonDebugFile, exe, err)
		}
		if n > 0 {
			return sourceDebugFile
		}
	}
	m, err := openMiniDebug(f)
	if err != nil {
		s.fail(reasonMiniDebug, exe, err)
	}
	if m != nil {
		n, err := syms.add(m, elf.SHT_SYMTAB)
		if err != nil {
			s.fail(reasonMiniDebug, exe, err)
		}
		if n > 0 {
			return sourceMiniDebug
		}
	}
	return source
}

// reasonOf returns the reason that an error is counted under.
func reasonOf(err error) string {
	if errors.Is(err, errTooLarge) || errors.Is(err, pfelf.ErrTooLarge) {
		return reasonTooLarge
	}
	return reasonRead
}

// fail counts what went wrong with an executable.
func (s *Symbolizer) fail(reason string, exe *Executable, err error) {
	s.metrics.errors.WithLabelValues(reason).Inc()
	s.log.Debug("read symbols", "file", exe.Name, "file_id", exe.FileID, "reason", reason, "error", err)
}

// name makes a raw name readable and counts what happened to it.
func (s *Symbolizer) name(raw string) (function, system string) {
	function, system, how := readable(raw)
	if how.truncated {
		s.metrics.errors.WithLabelValues(reasonNameTruncated).Inc()
	}
	if how.panicked {
		s.metrics.errors.WithLabelValues(reasonDemanglePanic).Inc()
	}
	return function, system
}

const (
	// maxInterned bounds how many readable names a table keeps, so that the
	// many addresses of a function share one.
	maxInterned = 8192
	// internedBytes is about what one of them takes.
	internedBytes = 160
)

// elfResolver names addresses by an ELF symbol table.
type elfResolver struct {
	table      *table
	names      map[uint32]libpf.SourceLine
	symbolizer *Symbolizer
}

func (r *elfResolver) resolve(vaddr uint64) []libpf.SourceLine {
	raw, id, ok := r.table.lookup(vaddr)
	if !ok {
		return nil
	}
	line, known := r.names[id]
	if !known {
		line.Function, line.SystemName = r.symbolizer.name(string(raw))
		if len(r.names) >= maxInterned {
			clear(r.names)
		}
		r.names[id] = line
	}
	return []libpf.SourceLine{line}
}

func (r *elfResolver) bytes() int64 { return r.table.bytes() + internedBytes*int64(len(r.names)) }

func (r *elfResolver) close() {}

// lazyELF is an elfResolver that is loaded when it is first asked.
type lazyELF struct {
	load   func() *elfResolver
	loaded *elfResolver
}

func (r *lazyELF) resolve(vaddr uint64) []libpf.SourceLine {
	if r.loaded == nil {
		r.loaded = r.load()
	}
	return r.loaded.resolve(vaddr)
}

func (r *lazyELF) bytes() int64 {
	if r.loaded == nil {
		return 0
	}
	return r.loaded.bytes()
}

func (r *lazyELF) close() {}

// goResolver names addresses by the Go function table.
type goResolver struct {
	file       *pfelf.File
	table      *gopclntab.Table
	symbolizer *Symbolizer
}

func (r *goResolver) resolve(vaddr uint64) []libpf.SourceLine {
	i, ok := r.table.Find(vaddr)
	if !ok {
		return nil
	}
	lines, err := r.table.Inlined(i, vaddr)
	if err != nil {
		r.symbolizer.metrics.errors.WithLabelValues(reasonGo).Inc()
		return nil
	}
	for i := range lines {
		l := &lines[i]
		var long bool
		if l.Function, long = clean(l.Function); long {
			r.symbolizer.metrics.errors.WithLabelValues(reasonNameTruncated).Inc()
		}
		l.File, _ = clean(l.File)
	}
	return lines
}

func (r *goResolver) bytes() int64 { return int64(r.table.Bytes()) }

func (r *goResolver) close() { _ = r.file.Close() } // only read from
