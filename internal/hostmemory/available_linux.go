// SPDX-License-Identifier: Apache-2.0

package hostmemory

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Available returns how much memory the process can have: that of the machine or of
// the smallest cgroup it is in, [math.MaxInt64] when neither can be read.
func Available() int64 { return available("/") }

// available is Available below another root.
func available(root string) int64 {
	n := machine(filepath.Join(root, "proc/meminfo"))
	b, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return n
	}
	for line := range strings.Lines(string(b)) {
		// 0::/path is version 2, 4:memory:/path version 1.
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		mount, file := filepath.Join(root, "sys/fs/cgroup"), "memory.max"
		if controllers != "" {
			if !contains(controllers, "memory") {
				continue
			}
			mount, file = filepath.Join(mount, "memory"), "memory.limit_in_bytes"
		}
		// Any group above may be smaller. In a container the path is one of the host, of
		// which only the end is to be seen: then the mount itself is the group.
		for path = filepath.Join("/", path); ; path = filepath.Dir(path) {
			n = min(n, number(filepath.Join(mount, path, file)))
			if path == "/" {
				break
			}
		}
	}
	return n
}

// contains reports whether a list with commas holds a name.
func contains(list, name string) bool {
	for s := range strings.SplitSeq(list, ",") {
		if s == name {
			return true
		}
	}
	return false
}

// number reads a file with a number; "max" and what cannot be read are no bound.
func number(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}

// machine reads the memory of the machine.
func machine(path string) int64 {
	b, err := os.ReadFile(path)
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
