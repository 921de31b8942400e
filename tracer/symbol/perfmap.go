// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/hostfile"
)

const (
	// maxPerfMap bounds how much of a perf map is read, in bytes. Runtimes with
	// very much code write about 10 MB.
	maxPerfMap = 64 << 20
	// maxPerfEntries bounds the lines that are kept: short ones take more memory
	// than they have text.
	maxPerfEntries = 1 << 20
	// maxPerfLine bounds a line. Names are cut at maxName anyway.
	maxPerfLine = 16 << 10
	// perfMapFresh is how long a name is believed without looking whether the
	// runtime has added to its map; perfMapRetry is the same for an address
	// that was not found.
	perfMapFresh = time.Second
	perfMapRetry = 100 * time.Millisecond
	// perfMapSort is added to perfMapRetry for each entry: reading again sorts
	// all, which must not become the main work.
	perfMapSort = 10 * time.Microsecond
	// perfMapRefused is how long a map that was refused is left alone.
	perfMapRefused = time.Minute
)

// process names a process for good: PIDs are used again.
type process struct {
	pid       libpf.PID
	startTime uint64
}

// perfMaps are the maps that were read, the least recently used dropped first.
type perfMaps struct {
	mu    sync.Mutex
	limit int64
	used  int64
	maps  map[process]*perfMap
}

func (p *perfMaps) init(limit int64) {
	p.limit = limit
	p.maps = make(map[process]*perfMap)
}

func (p *perfMaps) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

func (p *perfMaps) purge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = 0
	clear(p.maps)
}

// get returns the map of a process, a new one if there is none.
func (p *perfMaps) get(key process, now time.Time) *perfMap {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.maps[key]
	if !ok {
		m = &perfMap{charged: entryBytes}
		p.maps[key] = m
		p.used += m.charged
	}
	m.lastUse = now
	return m
}

// charge notes what a map takes now, and drops others until all fit. It returns
// how many were dropped.
func (p *perfMaps) charge(m *perfMap, bytes int64) (dropped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used += bytes - m.charged
	m.charged = bytes
	for p.used > p.limit && len(p.maps) > 1 {
		var oldest process
		var found *perfMap
		for key, other := range p.maps {
			if other != m && (found == nil || other.lastUse.Before(found.lastUse)) {
				oldest, found = key, other
			}
		}
		if found == nil {
			break
		}
		delete(p.maps, oldest)
		p.used -= found.charged
		found.charged = 0
		dropped++
	}
	return dropped
}

// perfMap is what is known of the code that a process made at run time.
type perfMap struct {
	// Guarded by perfMaps.mu.
	lastUse time.Time
	charged int64

	mu      sync.Mutex
	checked time.Time
	inode   uint64
	size    int64 // up to where the file was read
	text    perfText
	table   *table
	refused time.Time
}

// PerfMap returns the name that the runtime of a process gave to the code at an
// address of the process, from the file /tmp/perf-PID.map in the mount and PID
// namespace of the process. The file is read again when it has grown. It must
// belong to the user of the process or to root. startTime is that of
// [libpf.Process].
func (s *Symbolizer) PerfMap(pid libpf.PID, startTime, addr uint64) (libpf.SourceLine, bool) {
	now := s.now()
	m := s.perfMaps.get(process{pid, startTime}, now)
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.checked) >= perfMapFresh || m.checked.IsZero() {
		s.refreshPerfMap(m, pid, now)
	}
	line, ok := s.lookupPerfMap(m, addr)
	if !ok && now.Sub(m.checked) >= perfMapRetry+time.Duration(len(m.text.entries))*perfMapSort {
		s.refreshPerfMap(m, pid, now)
		line, ok = s.lookupPerfMap(m, addr)
	}
	return line, ok
}

func (s *Symbolizer) lookupPerfMap(m *perfMap, addr uint64) (libpf.SourceLine, bool) {
	if m.table == nil {
		return libpf.SourceLine{}, false
	}
	raw, _, ok := m.table.lookup(addr)
	if !ok {
		return libpf.SourceLine{}, false
	}
	name, long := clean(string(raw))
	if long {
		s.metrics.errors.WithLabelValues(reasonNameTruncated).Inc()
	}
	return libpf.SourceLine{Function: name}, true
}

// refreshPerfMap reads what is new in the file.
func (s *Symbolizer) refreshPerfMap(m *perfMap, pid libpf.PID, now time.Time) {
	m.checked = now
	if !m.refused.IsZero() && now.Sub(m.refused) < perfMapRefused {
		return
	}
	f, err := openPerfMap(filepath.Join(s.procDir, strconv.FormatUint(uint64(pid), 10)))
	switch {
	case errors.Is(err, hostfile.ErrRefused):
		if m.refused.IsZero() {
			s.metrics.errors.WithLabelValues(reasonPerfMapRefused).Inc()
			s.log.Warn("refuse perf map", "pid", pid, "error", err)
		}
		m.refused = now
		return
	case err != nil:
		return // mostly: the runtime writes none, or the process is gone
	}
	defer func() { _ = f.Close() }() // only read from
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return
	}
	if st.Ino != m.inode || st.Size < m.size {
		m.inode, m.size, m.text, m.table = st.Ino, 0, perfText{}, nil
	}
	if st.Size == m.size || m.size >= maxPerfMap {
		return
	}
	n, bad, err := m.text.read(io.NewSectionReader(f, m.size, maxPerfMap-m.size))
	m.size += n
	if err != nil {
		s.metrics.errors.WithLabelValues(reasonPerfMapRead).Inc()
		s.log.Debug("read perf map", "pid", pid, "error", err)
	}
	if bad > 0 {
		s.metrics.errors.WithLabelValues(reasonPerfMapLine).Add(float64(bad))
	}
	size := st.Size
	if m.text.full {
		m.size, size = maxPerfMap, maxPerfMap+1 // no more is read
	}
	s.rebuildPerfMap(m, size)
}

// rebuildPerfMap makes the table of what was read.
func (s *Symbolizer) rebuildPerfMap(m *perfMap, size int64) {
	t, err := m.text.build(s.perfMaps.limit)
	if err != nil || size > maxPerfMap {
		s.metrics.errors.WithLabelValues(reasonPerfMapTooLong).Inc()
	}
	if err != nil {
		// What was read before stays; no more is read of this file.
		m.text, m.size = perfText{}, maxPerfMap
	} else {
		m.table = t
		s.metrics.loaded.WithLabelValues(sourcePerfMap).Inc()
	}
	bytes := int64(entryBytes) + m.text.bytes()
	if m.table != nil {
		bytes += m.table.bytes()
	}
	s.metrics.evictions.Add(float64(s.perfMaps.charge(m, bytes)))
}

// openPerfMap opens the perf map of the process with the given folder in /proc.
// No link of the process's making leads out of its root, and nothing but a
// regular file of its own user is opened.
func openPerfMap(proc string) (*os.File, error) {
	uid, nspid, err := processIDs(filepath.Join(proc, "status"))
	if err != nil {
		return nil, err
	}
	f, err := hostfile.OpenInRootNoFollow(filepath.Join(proc, "root"), "/tmp/perf-"+nspid+".map")
	if err != nil {
		return nil, err
	}
	if err := hostfile.OwnedBy(f, 0, uid); err != nil {
		_ = f.Close() // only read from
		return nil, fmt.Errorf("the process has user %d: %w", uid, err)
	}
	return f, nil
}

// processIDs returns the effective user of a process and its PID in its own
// namespace, from its status file.
func processIDs(path string) (uid uint32, nspid string, err error) {
	b, err := os.ReadFile(path) //nolint:gosec // of the kernel
	if err != nil {
		return 0, "", err
	}
	found := false
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		switch {
		case len(fields) >= 3 && string(fields[0]) == "Uid:":
			v, err := strconv.ParseUint(string(fields[2]), 10, 32)
			if err != nil {
				return 0, "", fmt.Errorf("user of process: %w", err)
			}
			uid, found = uint32(v), true
		case len(fields) >= 2 && string(fields[0]) == "NSpid:":
			nspid = string(fields[len(fields)-1])
		case len(fields) >= 2 && string(fields[0]) == "Pid:" && nspid == "":
			nspid = string(fields[1])
		}
	}
	if !found || !isNumber(nspid) {
		return 0, "", fmt.Errorf("%s: no user or PID", path)
	}
	return uid, nspid, nil
}

// perfText is the content of a perf map: lines of a start address and a size,
// both hexadecimal, and a name.
type perfText struct {
	entries []perfEntry
	names   []byte
	full    bool // there were more than maxPerfEntries
}

// perfEntry is a line of a perf map.
type perfEntry struct {
	start    uint64
	size     uint32
	name     uint32 // offset in names
	nameSize uint16
}

func (p *perfText) bytes() int64 { return 24*int64(cap(p.entries)) + int64(cap(p.names)) }

// read adds the whole lines of r. It returns how many bytes they were and how
// many of them made no sense. A last line without its end is left for the next
// time: the runtime may be about to write it.
func (p *perfText) read(r io.Reader) (n int64, bad int, err error) {
	in := bufio.NewReaderSize(r, maxPerfLine)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			// A line that does not end: take its start, skip the rest.
			if !p.add(line) {
				bad++
			}
			n += int64(len(line))
			for errors.Is(err, bufio.ErrBufferFull) {
				line, err = in.ReadSlice('\n')
				n += int64(len(line))
			}
			if err != nil {
				return n, bad, ignoreEOF(err)
			}
		case err != nil:
			return n, bad, ignoreEOF(err)
		default:
			n += int64(len(line))
			if !p.add(line) {
				bad++
			}
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// add adds a line.
func (p *perfText) add(line []byte) bool {
	start, rest, ok := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
	if !ok {
		return false
	}
	size, name, ok := bytes.Cut(bytes.TrimLeft(rest, " "), []byte{' '})
	if name = bytes.TrimSpace(name); !ok || len(name) == 0 {
		return false
	}
	from, ok1 := hexNumber(start)
	length, ok2 := hexNumber(size)
	if !ok1 || !ok2 || length == 0 || length > 1<<31 || from+length < from {
		return false
	}
	if len(p.entries) == maxPerfEntries {
		p.full = true
		return true
	}
	// One byte more than is shown, so that the cut is seen.
	name = name[:min(len(name), maxName+1)]
	p.entries = append(p.entries, perfEntry{
		start: from, size: uint32(length),
		name: uint32(len(p.names)), nameSize: uint16(len(name)), //nolint:gosec // bounded by maxPerfMap and maxName
	})
	p.names = append(p.names, name...)
	return true
}

// hexNumber parses a hexadecimal number, with 0x in front or not.
func hexNumber(b []byte) (uint64, bool) {
	b = bytes.TrimPrefix(b, []byte("0x"))
	v, err := strconv.ParseUint(string(b), 16, 64)
	return v, err == nil
}

// build returns the table of what was read. Where entries overlap, the newer
// one counts: runtimes use the memory of dead code again.
func (p *perfText) build(limit int64) (*table, error) {
	spans := make([]span, len(p.entries))
	for i, e := range p.entries {
		spans[i] = span{start: e.start, end: e.start + uint64(e.size), prio: uint32(i), id: uint32(i)} //nolint:gosec // bounded
	}
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	return newTable(spans, limit, func(id uint32) []byte {
		e := p.entries[id]
		return p.names[e.name:][:e.nameSize]
	})
}
