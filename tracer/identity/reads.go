// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/hostfile"
)

// Limits of files, in bytes. An environment may be megabytes long, but what is
// looked for is set by whoever starts the process and stands early.
const (
	maxEnvironBytes   = 256 << 10
	maxCgroupBytes    = 64 << 10
	maxMountinfoBytes = 4 << 20
)

// memoryFacts are what must be read from a process's memory or its executable.
type memoryFacts struct {
	env          environment
	commandLine  string
	executableID libpf.FileID
}

// maxStuckReads is how many reads may hang at a time, each holding a thread.
const maxStuckReads = 4

// reads runs reads that may hang.
type reads struct {
	slots   chan struct{}
	timeout time.Duration
	metrics *metrics
}

func newReads(timeout time.Duration, m *metrics) *reads {
	return &reads{slots: make(chan struct{}, maxStuckReads), timeout: timeout, metrics: m}
}

// run calls read aside and returns what it returns, or the zero value when it
// takes too long or too many others hang.
func (r *reads) run(read func() memoryFacts) memoryFacts {
	timer := time.NewTimer(r.timeout)
	defer timer.Stop()
	select {
	case r.slots <- struct{}{}: // also where the time was up before this came to run
	default:
		select {
		case r.slots <- struct{}{}:
		case <-timer.C:
			r.metrics.errors.WithLabelValues("busy").Inc()
			return memoryFacts{}
		}
	}
	// One element, so that a late answer does not hold the goroutine.
	answer := make(chan memoryFacts, 1)
	go func() {
		defer func() { <-r.slots }()
		answer <- read()
	}()
	timer.Reset(r.timeout)
	select {
	case facts := <-answer:
		return facts
	case <-timer.C:
		r.metrics.errors.WithLabelValues("timeout").Inc()
		return memoryFacts{}
	}
}

// readFacts reads what may take long.
func (r *Resolver) readFacts(pid libpf.PID) memoryFacts {
	return r.reads.run(func() memoryFacts {
		var facts memoryFacts
		b, err := readLimited(r.path(pid, "environ"), maxEnvironBytes)
		r.countDenied("environ", err)
		facts.env = parseEnviron(b, r.wanted)
		if r.commandLines {
			b, err = readLimited(r.path(pid, "cmdline"), maxPathBytes)
			r.countDenied("cmdline", err)
			facts.commandLine = commandLine(b)
		}
		facts.executableID, err = r.executableID(r.path(pid, "exe"))
		r.countDenied("exe", err)
		return facts
	})
}

// countDenied counts errors other than those of a process that just ended.
func (r *Resolver) countDenied(file string, err error) {
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return
	}
	r.metrics.errors.WithLabelValues(file).Inc()
}

// fileKey names the content of a file as long as nobody rewrites it in place.
type fileKey struct {
	device, inode uint64
	size          int64
	modified      int64
}

func (k fileKey) hash() uint32 {
	h := k.inode*0x9e3779b97f4a7c15 ^ k.device<<32 ^ uint64(k.modified) //nolint:gosec // mixing bits
	return uint32(h ^ h>>32)                                            //nolint:gosec // folding is the point
}

func hashPID(pid libpf.PID) uint32     { return uint32(pid) * 0x9e3779b1 }
func hashString(s string) uint32       { return uint32(xxh3.HashString(s)) } //nolint:gosec // folding is the point
func modified(s *syscall.Stat_t) int64 { return s.Mtim.Nano() }

// executableID hashes an executable, once per file.
func (r *Resolver) executableID(path string) (libpf.FileID, error) {
	f, err := hostfile.Open(path)
	if err != nil {
		return libpf.FileID{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return libpf.FileID{}, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return libpf.FileID{}, nil
	}
	key := fileKey{device: uint64(s.Dev), inode: s.Ino, size: info.Size(), modified: modified(s)} //nolint:unconvert // differs by architecture
	if id, ok := r.files.Get(key); ok {
		return id, nil
	}
	id, err := libpf.FileIDFromReader(f, info.Size())
	if err == nil {
		r.files.Add(key, id)
	}
	return id, err
}

// readLimited reads at most limit bytes of a file.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // of the kernel, below /proc
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return io.ReadAll(io.LimitReader(f, limit))
}

// inode returns the inode number of a file, 0 when there is none.
func inode(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
