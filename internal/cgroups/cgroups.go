// SPDX-License-Identifier: Apache-2.0

// Package cgroups finds the groups that bound what this process may take.
package cgroups

import (
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Dirs returns the directories of the groups that the process is in and that a controller
// may bound, in both versions of cgroups: its own group and all above it, of which any may
// allow less. In a container the path is one of the host, of which only the end is to be
// seen: directories need not exist, and the mount itself, which comes last, is then the
// group. All is below root, "/" but for tests.
func Dirs(root, controller string) iter.Seq[string] {
	return func(yield func(string) bool) {
		b, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup")) //nolint:gosec // of the kernel
		if err != nil {
			return
		}
		for line := range strings.Lines(string(b)) {
			// 0::/path is version 2, 4:memory:/path version 1.
			_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
			controllers, path, ok := strings.Cut(rest, ":")
			if !ok {
				continue
			}
			mount := filepath.Join(root, "sys/fs/cgroup")
			if controllers != "" {
				if !slices.Contains(strings.Split(controllers, ","), controller) {
					continue
				}
				mount = filepath.Join(mount, controller)
			}
			for path = filepath.Join("/", path); ; path = filepath.Dir(path) {
				if !yield(filepath.Join(mount, path)) {
					return
				}
				if path == "/" {
					break
				}
			}
		}
	}
}

// Number reads a file with a number above 0; "max" and what cannot be read are no bound,
// [math.MaxInt64].
func Number(path string) int64 {
	b, err := os.ReadFile(path) //nolint:gosec // of the kernel
	if err != nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}
