// SPDX-License-Identifier: Apache-2.0

// Package process reads what the tracer needs to know of running processes
// from /proc.
package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
)

// Mapping is an executable mapping of a process.
type Mapping struct {
	// Start and End bound it; Offset is where it begins in the file, in bytes.
	Start, End, Offset uint64
	// Device and Inode name the file; both are 0 for anonymous memory.
	Major, Minor uint32
	Inode        uint64
	// Path is as the process sees it, without the mark of a deleted file. Names
	// in brackets, such as [vdso], stand for memory that is no file.
	Path    string
	Deleted bool
	// Writable is set of code that may change, such as that of some compilers.
	Writable bool
}

// IsFile reports whether the mapping is of a file.
func (m *Mapping) IsFile() bool { return m.Inode != 0 }

// MaxMappings bounds how many executable mappings of a process are read.
const MaxMappings = 1024

// ErrTruncated reports that a process has more executable mappings than are read.
var ErrTruncated = errors.New("too many executable mappings")

// Mappings reads the executable mappings of a process, in ascending order. With
// [ErrTruncated] it returns the first [MaxMappings].
func Mappings(pid libpf.PID) ([]Mapping, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return ParseMappings(f)
}

// ParseMappings reads the executable mappings in the format of /proc/PID/maps.
// Lines that do not have it are left out.
func ParseMappings(r io.Reader) ([]Mapping, error) {
	var out []Mapping
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 8192), 1<<20)
	for s.Scan() {
		m, ok := parseMapping(s.Text())
		if !ok {
			continue
		}
		if len(out) == MaxMappings {
			return out, ErrTruncated
		}
		out = append(out, m)
	}
	return out, s.Err()
}

func parseMapping(line string) (m Mapping, ok bool) {
	// start-end perms offset major:minor inode path
	f := strings.SplitN(line, " ", 6)
	if len(f) < 5 || len(f[1]) < 3 || f[1][2] != 'x' {
		return m, false
	}
	start, end, found := strings.Cut(f[0], "-")
	major, minor, found2 := strings.Cut(f[3], ":")
	if !found || !found2 {
		return m, false
	}
	var err [6]error
	m.Start, err[0] = strconv.ParseUint(start, 16, 64)
	m.End, err[1] = strconv.ParseUint(end, 16, 64)
	m.Offset, err[2] = strconv.ParseUint(f[2], 16, 64)
	maj, e3 := strconv.ParseUint(major, 16, 32)
	mnr, e4 := strconv.ParseUint(minor, 16, 32)
	err[3], err[4] = e3, e4
	m.Inode, err[5] = strconv.ParseUint(f[4], 10, 64)
	for _, e := range err {
		if e != nil {
			return m, false
		}
	}
	if m.End <= m.Start {
		return m, false
	}
	m.Major, m.Minor = uint32(maj), uint32(mnr)
	m.Writable = f[1][1] == 'w'
	if len(f) == 6 {
		m.Path, m.Deleted = strings.CutSuffix(strings.TrimLeft(f[5], " "), " (deleted)")
	}
	return m, true
}

// KernelDevice encodes a device as the kernel does internally.
func KernelDevice(major, minor uint32) uint32 { return major<<20 | minor&0xfffff }

// DeviceOf encodes the device of a stat result as the kernel does internally.
func DeviceOf(st *unix.Stat_t) uint32 {
	return KernelDevice(unix.Major(st.Dev), unix.Minor(st.Dev)) //nolint:unconvert // differs by architecture
}

// MapFile returns the path of the link to a mapped file, which works whatever
// has become of the file's own path.
func MapFile(pid libpf.PID, start, end uint64) string {
	return fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, start, end)
}

// MappedPath returns the path of the file that a process maps at an address, "" for none.
// It takes fewer privileges than [MapFile], and tells less: another file may be there now.
func MappedPath(pid libpf.PID, start uint64) string {
	maps, _ := Mappings(pid) // what was read counts
	for i := range maps {
		if m := &maps[i]; m.Start == start && m.IsFile() {
			return m.Path
		}
	}
	return ""
}

// All lists the processes of the host.
func All() ([]libpf.PID, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // read only
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []libpf.PID
	for _, n := range names {
		if pid, err := strconv.ParseUint(n, 10, 32); err == nil {
			pids = append(pids, libpf.PID(pid))
		}
	}
	return pids, nil
}

// stat returns the fields of /proc/PID/stat behind the name, of which proc(5) counts the
// first as 3, at least n.
func stat(pid libpf.PID, n int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name may hold anything, so what follows counts from the last parenthesis.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < n {
		return nil, fmt.Errorf("stat of process %d has %d fields behind the name, not %d", pid, len(f), n)
	}
	return f, nil
}

// Parent returns the parent of a process.
func Parent(pid libpf.PID) (libpf.PID, error) {
	f, err := stat(pid, 2)
	if err != nil {
		return 0, err
	}
	ppid, err := strconv.ParseUint(f[1], 10, 32)
	return libpf.PID(ppid), err
}

// CPUTime returns how much CPU a process has used, and those of its children that have
// ended and that it has waited for. It is as exact as the kernel tells, to 10 ms.
func CPUTime(pid libpf.PID) (time.Duration, error) {
	f, err := stat(pid, 15)
	if err != nil {
		return 0, err
	}
	var ticks uint64
	for _, text := range f[11:15] { // utime, stime, cutime and cstime
		n, err := strconv.ParseUint(text, 10, 62)
		if err != nil {
			return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / clockTicks), nil //nolint:gosec // not in the life of a host
}

// Descendants returns the processes below the given ones, without them.
func Descendants(of []libpf.PID) ([]libpf.PID, error) {
	all, err := All()
	if err != nil {
		return nil, err
	}
	children := map[libpf.PID][]libpf.PID{}
	for _, pid := range all {
		if ppid, err := Parent(pid); err == nil { // else it is gone
			children[ppid] = append(children[ppid], pid)
		}
	}
	var out []libpf.PID
	seen := map[libpf.PID]bool{}
	queue := append([]libpf.PID(nil), of...)
	for len(queue) > 0 {
		pid := queue[0]
		queue = queue[1:]
		for _, c := range children[pid] {
			if !seen[c] {
				seen[c] = true
				out = append(out, c)
				queue = append(queue, c)
			}
		}
	}
	return out, nil
}

// StartTime returns when a process started, in nanoseconds since boot, as exact
// as the kernel tells. It names the process together with its PID.
func StartTime(pid libpf.PID) (uint64, error) {
	f, err := stat(pid, 20)
	if err != nil {
		return 0, err
	}
	ticks, err := strconv.ParseUint(f[19], 10, 64)
	return ticks * (1e9 / clockTicks), err
}

// clockTicks is USER_HZ, 100 on all architectures that are supported.
const clockTicks = 100
