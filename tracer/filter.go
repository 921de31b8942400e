// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Filter selects processes. A process is sampled when it matches no Exclude and,
// if there is any Include, at least one of them. Globs are those of [path.Match];
// for executables they are matched against the path as the process sees it or,
// if they hold no slash, against its base name; for cgroups against the path
// below the root of the cgroup v2 hierarchy, where a trailing /** takes all below.
type Filter struct {
	IncludePIDs, ExcludePIDs []libpf.PID
	// FollowChildren extends IncludePIDs and ExcludePIDs to all descendants, those
	// that are born later as well.
	FollowChildren                         bool
	IncludeExecutables, ExcludeExecutables []string
	IncludeCgroups, ExcludeCgroups         []string
}

// Bits of the kernel side's variable wanted; see support/ebpf/sample.h.
const (
	wantFilters = 1 << iota
	wantIncludes
	wantExecutables
	wantCgroups
	wantChildren
)

// Actions of a filter; see support/ebpf/types.h.
const (
	filterInclude = uint8(1)
	filterExclude = uint8(2)
)

func (f *Filter) wanted() uint32 {
	var w uint32
	if len(f.IncludePIDs)+len(f.IncludeExecutables)+len(f.IncludeCgroups) > 0 {
		w |= wantIncludes
	}
	if len(f.IncludeExecutables)+len(f.ExcludeExecutables) > 0 {
		w |= wantExecutables
	}
	if len(f.IncludeCgroups)+len(f.ExcludeCgroups) > 0 {
		w |= wantCgroups
	}
	if f.FollowChildren {
		w |= wantChildren
	}
	if w&^wantChildren != 0 || len(f.ExcludePIDs) > 0 {
		w |= wantFilters
	}
	return w
}

func (f *Filter) validate() error {
	var errs []error
	for _, list := range [][]string{f.IncludeExecutables, f.ExcludeExecutables, f.IncludeCgroups, f.ExcludeCgroups} {
		for _, glob := range list {
			if _, err := path.Match(glob, ""); err != nil {
				errs = append(errs, fmt.Errorf("filter %q: %w", glob, err))
			}
		}
	}
	return errors.Join(errs...)
}

// matchExecutable reports whether a path matches one of the globs.
func matchExecutable(globs []string, name string) bool {
	for _, g := range globs {
		subject := name
		if filepath.Base(g) == g {
			subject = path.Base(name)
		}
		if ok, _ := path.Match(g, subject); ok { // validated before
			return true
		}
	}
	return false
}

// matchCgroup reports whether a cgroup's path matches one of the globs.
func matchCgroup(globs []string, name string) bool {
	for _, g := range globs {
		if base, ok := cutSubtree(g); ok {
			for p := name; p != "/" && p != "."; p = path.Dir(p) {
				if ok, _ := path.Match(base, p); ok {
					return true
				}
			}
			continue
		}
		if ok, _ := path.Match(g, name); ok {
			return true
		}
	}
	return false
}

func cutSubtree(glob string) (string, bool) {
	if dir, last := path.Split(glob); last == "**" {
		return path.Clean(dir), true
	}
	return "", false
}

// filterState keeps the kernel side's filter maps current.
type filterState struct {
	k   *kernelSide
	cfg *Config
}

func newFilterState(k *kernelSide, cfg *Config) *filterState { return &filterState{k: k, cfg: cfg} }

// start fills in what is known at the beginning.
func (s *filterState) start() error {
	f := &s.cfg.Filter
	for action, pids := range map[uint8][]libpf.PID{filterInclude: f.IncludePIDs, filterExclude: f.ExcludePIDs} {
		all := pids
		if f.FollowChildren && len(pids) > 0 {
			children, err := process.Descendants(pids)
			if err != nil {
				return fmt.Errorf("find descendants of filtered processes: %w", err)
			}
			all = append(append([]libpf.PID(nil), pids...), children...)
		}
		for _, pid := range all {
			if err := s.k.objs.FilterPids.Put(uint32(pid), action); err != nil {
				return fmt.Errorf("filter process %d: %w", pid, err)
			}
		}
	}
	return s.refreshCgroups()
}

// executableFlags returns the flags of an executable with the given path.
func (s *filterState) executableFlags(name string) uint32 {
	var flags uint32
	if matchExecutable(s.cfg.Filter.IncludeExecutables, name) {
		flags |= execInclude
	}
	if matchExecutable(s.cfg.Filter.ExcludeExecutables, name) {
		flags |= execExclude
	}
	return flags
}

// refreshCgroups looks for cgroups that match; they come and go, so this is
// called every few seconds.
func (s *filterState) refreshCgroups() error {
	f := &s.cfg.Filter
	if len(f.IncludeCgroups)+len(f.ExcludeCgroups) == 0 {
		return nil
	}
	root, err := cgroupRoot()
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // it went away while we looked
		}
		rel := "/" + p[min(len(p), len(root)+1):]
		action := uint8(0)
		if matchCgroup(f.IncludeCgroups, rel) {
			action = filterInclude
		}
		if matchCgroup(f.ExcludeCgroups, rel) {
			action = filterExclude
		}
		if action == 0 {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		return s.k.objs.FilterCgroups.Put(st.Ino, action)
	})
}

// cgroupRoot finds the cgroup v2 hierarchy, also on hosts that mount v1 beside it.
func cgroupRoot() (string, error) {
	for _, p := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(p, "cgroup.controllers")); err == nil {
			return p, nil
		}
	}
	return "", errors.New("filters by cgroup need a mounted cgroup v2 hierarchy (mount -t cgroup2 none /sys/fs/cgroup)")
}
