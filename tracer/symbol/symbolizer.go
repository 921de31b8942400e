// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"container/list"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/elastic/go-freelru"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// DefaultMaxBytes is the limit on memory that a zero Config.MaxBytes stands for.
const DefaultMaxBytes = 64 << 20

const (
	// retryAfter is when an executable that could not be opened is tried again.
	// Often the process was gone; the next one that runs it will do.
	retryAfter = 10 * time.Second
	// entryBytes is about what an executable takes besides its tables.
	entryBytes = 512
	// readFactor relates what reading a table may take for a moment to what
	// all tables may take together.
	readFactor = 4
	// resultBytes is about what a cached answer takes: its place in the cache
	// and its lines, whose names belong to the table.
	resultBytes = 256
)

// Config configures a [Symbolizer]. The zero value works.
type Config struct {
	// MaxBytes bounds the memory of tables and answers that are kept, in
	// bytes; DefaultMaxBytes if 0. While a table is read, up to four times as
	// much is used for a moment.
	MaxBytes int64
	// Logger gets what is wrong with files, at debug level; none if nil.
	Logger *slog.Logger
	// Registerer gets the metrics; none if nil.
	Registerer prometheus.Registerer
	// DebugDirs are where separate debug files are; /usr/lib/debug if nil.
	DebugDirs []string
}

// Executable says what is being symbolized and how to read it.
type Executable struct {
	// FileID is the key under which everything is cached.
	FileID libpf.FileID
	// Name stands for the executable where an address has no name, such as
	// libc.so.6.
	Name string
	// Path is the absolute path as the process sees it, "" when unknown. Debug
	// files are looked for beside it.
	Path string
	// Open opens the file. It is called at most once for a FileID while that
	// is cached, and again some seconds later if it fails. The symbolizer
	// closes the file.
	Open func() (*pfelf.File, error)
	// OpenBeside opens a file by its path as the process sees it, without leaving
	// the process's root: the process says what the debug file is called. If nil,
	// paths are those of this process.
	OpenBeside func(path string) (*pfelf.File, error)
}

// Symbolizer names addresses. It is safe for concurrent use.
type Symbolizer struct {
	log                   *slog.Logger
	metrics               *metrics
	debugDirs             []string
	maxBytes              int64
	tableLimit, readLimit int64
	now                   func() time.Time
	procDir               string
	results               *freelru.SyncedLRU[libpf.FrameID, []libpf.SourceLine]
	loading               sync.Mutex // held while a table is read: one at a time
	perfMaps              perfMaps

	mu      sync.Mutex
	entries map[libpf.FileID]*entry
	recent  *list.List // of *entry, the most recently used first
	used    int64      // bytes of all entries
}

// entry is an executable in the cache.
type entry struct {
	id      libpf.FileID
	element *list.Element

	// Guarded by Symbolizer.mu.
	bytes   int64
	users   int
	evicted bool

	mu        sync.Mutex
	resolvers []resolver
	loaded    bool
	failed    time.Time // when opening failed last
}

// New returns a symbolizer. It reads nothing yet.
func New(cfg Config) *Symbolizer {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.DebugDirs == nil {
		cfg.DebugDirs = []string{"/usr/lib/debug"}
	}
	// A quarter is for answers and perf maps, the rest for tables.
	answers := uint32(min(max(cfg.MaxBytes/8/resultBytes, 256), 1<<18)) //nolint:gosec // bounded
	results, err := freelru.NewSynced[libpf.FrameID, []libpf.SourceLine](answers, libpf.FrameID.Hash32)
	if err != nil {
		panic("symbol: capacity is never 0: " + err.Error())
	}
	s := &Symbolizer{
		log: cfg.Logger, debugDirs: cfg.DebugDirs,
		maxBytes: cfg.MaxBytes - cfg.MaxBytes/4, tableLimit: cfg.MaxBytes / 2, readLimit: cfg.MaxBytes * readFactor,
		now: time.Now, procDir: "/proc", results: results,
		entries: make(map[libpf.FileID]*entry), recent: list.New(),
	}
	s.perfMaps.init(cfg.MaxBytes / 8)
	s.metrics = newMetrics(&cfg, func() float64 { return float64(s.Bytes()) })
	return s
}

// Bytes returns the memory that tables take now, in bytes.
func (s *Symbolizer) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used + s.perfMaps.bytes()
}

// Native returns what the ELF virtual address vaddr of an executable stands
// for, the innermost inlined function first. There is always at least one line:
// where nothing is known, its function is the executable's name and the virtual
// address, as in libc.so.6+0x2724a. The result is shared and must not be
// changed.
func (s *Symbolizer) Native(exe *Executable, vaddr uint64) []libpf.SourceLine {
	key := libpf.NewFrameID(exe.FileID, libpf.AddressOrLineno(vaddr))
	if lines, ok := s.results.Get(key); ok {
		s.metrics.hits.Inc()
		return lines
	}
	s.metrics.misses.Inc()
	e := s.acquire(exe.FileID)
	defer s.release(e)
	lines, loaded := s.resolve(e, exe, vaddr)
	if lines == nil {
		lines = []libpf.SourceLine{{Function: Unnamed(exe.Name, vaddr)}}
	}
	if loaded {
		s.results.Add(key, lines)
	}
	return lines
}

// Unnamed returns what stands for an address that has no name.
func Unnamed(name string, addr uint64) string {
	name, _ = clean(name)
	if name == "" {
		name = "[unknown]"
	}
	return name + "+0x" + strconv.FormatUint(addr, 16)
}

// resolve asks the resolvers of e, which it loads first if need be.
func (s *Symbolizer) resolve(e *entry, exe *Executable, vaddr uint64) (lines []libpf.SourceLine, loaded bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.loaded {
		if !e.failed.IsZero() && s.now().Sub(e.failed) < retryAfter {
			return nil, false
		}
		if !s.open(e, exe) {
			e.failed = s.now()
			return nil, false
		}
		e.loaded = true
	}
	for _, r := range e.resolvers {
		if lines = r.resolve(vaddr); lines != nil {
			break
		}
	}
	bytes := int64(entryBytes)
	for _, r := range e.resolvers {
		bytes += r.bytes()
	}
	s.charge(e, bytes)
	return lines, true
}

// open loads the resolvers of e.
func (s *Symbolizer) open(e *entry, exe *Executable) bool {
	s.loading.Lock()
	defer s.loading.Unlock()
	f, err := exe.Open()
	if err != nil {
		s.fail(reasonOpen, exe, err)
		return false
	}
	e.resolvers = s.load(f, exe)
	return true
}

// acquire returns the entry of an executable, which release gives back.
func (s *Symbolizer) acquire(id libpf.FileID) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[id]
	if !ok {
		e = &entry{id: id, bytes: entryBytes}
		e.element = s.recent.PushFront(e)
		s.entries[id] = e
		s.used += e.bytes
	}
	s.recent.MoveToFront(e.element)
	e.users++
	return e
}

// release gives an entry back, and closes it if it was evicted meanwhile.
func (s *Symbolizer) release(e *entry) {
	s.mu.Lock()
	e.users--
	last := e.evicted && e.users == 0
	s.mu.Unlock()
	if last {
		e.close()
	}
}

// charge notes what e takes now, and evicts others until all fit.
func (s *Symbolizer) charge(e *entry, bytes int64) {
	var unused []*entry
	s.mu.Lock()
	if !e.evicted {
		s.used += bytes - e.bytes
		e.bytes = bytes
	}
	for s.used > s.maxBytes {
		victim, ok := s.recent.Back().Value.(*entry)
		if !ok || victim == e {
			break // the limit on one table keeps this one below the limit on all
		}
		if s.evict(victim) {
			unused = append(unused, victim)
		}
	}
	s.mu.Unlock()
	for _, v := range unused {
		v.close()
	}
}

// evict forgets an entry and reports whether it can be closed at once. The
// caller holds mu.
func (s *Symbolizer) evict(e *entry) bool {
	s.recent.Remove(e.element)
	delete(s.entries, e.id)
	s.used -= e.bytes
	e.evicted = true
	s.metrics.evictions.Inc()
	return e.users == 0
}

// Close forgets everything and closes the files that are open.
func (s *Symbolizer) Close() {
	var unused []*entry
	s.mu.Lock()
	for _, e := range s.entries {
		if s.evict(e) {
			unused = append(unused, e)
		}
	}
	s.mu.Unlock()
	for _, e := range unused {
		e.close()
	}
	s.results.Purge()
	s.perfMaps.purge()
}

// close closes what the resolvers hold. Nobody uses e any more.
func (e *entry) close() {
	for _, r := range e.resolvers {
		r.close()
	}
	e.resolvers = nil
}
