// SPDX-License-Identifier: Apache-2.0

package hostmemory

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/internal/cgroups"
)

// Available returns how much memory the process can have: that of the machine or of
// the smallest cgroup it is in, [math.MaxInt64] when neither can be read.
func Available() int64 { return available("/") }

// available is Available below another root.
func available(root string) int64 {
	n := machine(filepath.Join(root, "proc/meminfo"))
	for dir := range cgroups.Dirs(root, "memory") {
		// Of version 2 and of version 1.
		n = min(n, cgroups.Number(filepath.Join(dir, "memory.max")), cgroups.Number(filepath.Join(dir, "memory.limit_in_bytes")))
	}
	return n
}

// machine reads the memory of the machine.
func machine(path string) int64 {
	b, err := os.ReadFile(path) //nolint:gosec // of the kernel
	if err != nil {
		return math.MaxInt64
	}
	for line := range strings.Lines(string(b)) {
		rest, ok := strings.CutPrefix(line, "MemTotal:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 54)
		if err == nil && kib > 0 {
			return kib << 10
		}
	}
	return math.MaxInt64
}
