// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
)

func code(pages uint64) []Mapping {
	return []Mapping{{Start: 1 << 20, End: 1<<20 + pages*uint64(os.Getpagesize())}}
}

// TestReadCode reads mappings that change between the count and the reading.
func TestReadCode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		counted   []uint64
		read      [][]Mapping
		err       error
		wantPages uint64
		wantRead  int
	}{
		"still":               {[]uint64{2}, [][]Mapping{code(2)}, nil, 2, 1},
		"mapped in between":   {[]uint64{2, 3}, [][]Mapping{code(3), code(3)}, nil, 3, 2},
		"and unmapped":        {[]uint64{3, 2, 2}, [][]Mapping{code(2), code(3), code(2)}, nil, 2, 3},
		"changes all along":   {[]uint64{1, 2, 3}, [][]Mapping{code(2), code(3), code(4)}, nil, 3, 3},
		"counted differently": {[]uint64{9, 9, 9}, [][]Mapping{code(2), code(2), code(2)}, nil, 9, 3},
		"too many":            {[]uint64{9}, [][]Mapping{code(2)}, ErrTruncated, 9, 1},
		"data and the kernel's": {[]uint64{2}, [][]Mapping{append(code(2),
			Mapping{Start: 1 << 30, End: 2 << 30, Writable: true}, Mapping{Start: 3 << 30, End: 4 << 30, Path: "[vsyscall]"})}, nil, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := -1
			got, err := readCode(func() (uint64, error) { n++; return c.counted[n], nil },
				func() ([]Mapping, error) { return c.read[n], c.err })
			if got.Truncated != (c.err != nil) {
				t.Errorf("truncated: %v", got.Truncated)
			}
			if err != nil || got.Pages != c.wantPages || n+1 != c.wantRead {
				t.Errorf("%d pages after %d readings, %v; want %d after %d", got.Pages, n+1, err, c.wantPages, c.wantRead)
			}
		})
	}
}

// TestCodeOfProcesses holds the count to the kernel's, on all processes that there are.
func TestCodeOfProcesses(t *testing.T) {
	t.Parallel()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	own, same := false, 0
	for _, pid := range all {
		c, err := ReadCode(pid)
		// One that maps code all the while is another each time that it is read.
		for changed := true; err == nil && pagesOf(c.Mappings) != c.Pages && changed; {
			before := c
			c, err = ReadCode(pid)
			changed = !reflect.DeepEqual(c, before)
		}
		switch {
		case err != nil || len(c.Mappings) == 0 || len(c.Mappings) == MaxMappings: // gone, the kernel's, or too many
		case pagesOf(c.Mappings) == c.Pages:
			own = own || int(pid) == os.Getpid()
			same++
		default:
			t.Errorf("process %d has %d pages of code, the kernel counts %d: %+v", pid, pagesOf(c.Mappings), c.Pages, c.Mappings)
		}
	}
	if !own || same == 0 {
		t.Errorf("%d processes have as many pages as the kernel counts, this one is among them: %v", same, own)
	}
}

func TestParseCodePages(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]uint64{
		"Name:\tx\nVmExe:\t      32 kB\nVmLib:\t    1540 kB\n":    393,
		"Name:\tVmExe: 9 kB\nVmExe:\t       4 kB\nVmLib:\t0 kB\n": 1,
		"Name:\tkthreadd\nThreads:\t1\n":                          0,
	} {
		if got, err := parseCodePages([]byte(status), 4096); got != want || err != nil {
			t.Errorf("%q: %d pages, %v; want %d", status, got, err, want)
		}
	}
	for _, status := range []string{"Name:\tx\nVmExe:\t-4 kB\n", "Name:\tx\nVmExe:\t4 MB\n", "Name:\tx\nVmExe:\n"} {
		if got, err := parseCodePages([]byte(status), 4096); err == nil {
			t.Errorf("%q: %d pages, want an error", status, got)
		}
	}
	if _, err := ReadCode(libpf.PID(1 << 30)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a process that is none: %v", err)
	}
}
