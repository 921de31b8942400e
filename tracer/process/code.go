// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/strobe-profiler/strobe/libpf"
)

// Code is what a process can execute, at one moment.
type Code struct {
	// Mappings are in ascending order, at most [MaxMappings].
	Mappings []Mapping
	// Truncated is set when there are more.
	Truncated bool
	// Pages is how many pages of code the kernel counted at that moment. When it counts
	// others, the mappings have changed.
	Pages uint64
}

// codeAttempts is how often mappings are read that do not have as many pages as the kernel
// counted: they changed meanwhile, or the kernel counts differently.
const codeAttempts = 3

// ReadCode reads what a process can execute. A process without memory of its own, as those
// of the kernel, has none.
func ReadCode(pid libpf.PID) (Code, error) {
	return readCode(func() (uint64, error) { return CodePages(pid) }, func() ([]Mapping, error) { return Mappings(pid) })
}

// readCode counts before it reads. So pages that are not those of the mappings are older
// ones, which the kernel no longer counts, and somebody who compares them reads again.
func readCode(count func() (uint64, error), read func() ([]Mapping, error)) (c Code, err error) {
	for range codeAttempts {
		if c.Pages, err = count(); err != nil {
			return Code{}, err
		}
		if c.Mappings, err = read(); err != nil && !errors.Is(err, ErrTruncated) {
			return Code{}, err
		}
		if c.Truncated = err != nil; c.Truncated || pagesOf(c.Mappings) == c.Pages {
			break
		}
	}
	return c, nil
}

// pagesOf counts as the kernel does, in vm_stat_account of mm/mmap.c: code that can be
// written is data, and the page of the old system calls belongs to no process.
func pagesOf(mappings []Mapping) (n uint64) {
	for i := range mappings {
		if m := &mappings[i]; !m.Writable && m.Path != "[vsyscall]" {
			n += (m.End - m.Start) / uint64(os.Getpagesize()) //nolint:gosec // positive
		}
	}
	return n
}

// CodePages returns how many pages of code a process has, as the kernel counts them: none
// that can be written.
func CodePages(pid libpf.PID) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseCodePages(b, uint64(os.Getpagesize())) //nolint:gosec // positive
}

// parseCodePages reads /proc/PID/status. The kernel divides its count into what is the
// executable's and the rest.
func parseCodePages(status []byte, pageSize uint64) (pages uint64, err error) {
	for _, name := range []string{"\nVmExe:", "\nVmLib:"} {
		_, rest, ok := bytes.Cut(status, []byte(name))
		if !ok {
			continue // a process of the kernel, or one that has exited
		}
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		text, unit := bytes.CutSuffix(bytes.TrimSpace(line), []byte(" kB"))
		kb, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 54)
		if err != nil || !unit {
			return 0, fmt.Errorf("status says %q of its code, not a size in kB", line)
		}
		pages += kb << 10 / pageSize
	}
	return pages, nil
}
