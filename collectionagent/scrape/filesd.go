// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// discovery reads the files of file_sd_configs again when they change, and in any case
// after a while.
type discovery struct {
	files map[string]*targetFile
}

// targetFile is a file with targets.
type targetFile struct {
	watched
	groups []group // of the last time that it could be used
	seen   bool    // in this look
}

// noteFile is told of a file that cannot be used, err, or can be again, nil.
type noteFile func(path string, err error)

// look reads what has changed and reports whether targets have. A file that cannot be
// used keeps the targets that it had; one that is gone has none.
func (d *discovery) look(now time.Time, jobs []*job, note noteFile) (changed bool) {
	if d.files == nil {
		d.files = map[string]*targetFile{}
	}
	for path, refresh := range paths(jobs) {
		f := d.files[path]
		if f == nil {
			f = &targetFile{watched: watched{path: path}}
			d.files[path] = f
		}
		f.seen = true
		// A clock that was set back must not stop the looking.
		age := now.Sub(f.at)
		if f.look(now, age >= refresh || age < 0, note) {
			changed = true
		}
	}
	for path, f := range d.files {
		if !f.seen {
			changed = changed || len(f.groups) > 0
			delete(d.files, path)
		}
		f.seen = false
	}
	return changed
}

// paths returns the files that jobs name and the shortest time to read each again.
func paths(jobs []*job) map[string]time.Duration {
	all := map[string]time.Duration{}
	for _, j := range jobs {
		for _, f := range j.files {
			for _, path := range f.paths() {
				if known, ok := all[path]; !ok || f.refresh < known {
					all[path] = f.refresh
				}
			}
		}
	}
	return all
}

// paths returns the files that there are now, sorted.
func (f *fileDiscovery) paths() []string {
	all := map[string]bool{}
	for _, pattern := range f.patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue // was checked
		}
		for _, path := range found {
			all[path] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// look reads the file if it has changed.
func (f *targetFile) look(now time.Time, force bool, note noteFile) (changed bool) {
	content, isNew, err := f.changed(now, force)
	var groups []group
	if err == nil {
		if !isNew {
			return false
		}
		groups, err = readTargets(f.path, content)
	}
	if f.fail(err) {
		note(f.path, err)
	}
	if err != nil {
		return false
	}
	f.groups = groups
	return true
}

// readTargets reads a file with targets, YAML or JSON.
func readTargets(file string, content []byte) (groups []group, err error) {
	d := &decoder{file: file}
	if root, ok := d.document(content); ok {
		d.list(root, func(v value) {
			g := d.group(v)
			if g.labels[labelFile] == "" {
				g.labels[labelFile] = file
			}
			groups = append(groups, g)
		})
	}
	return groups, d.err()
}

// groups returns the targets of a job.
func (d *discovery) groups(j *job) []group {
	all := slices.Clone(j.groups)
	seen := map[string]bool{}
	for _, f := range j.files {
		for _, path := range f.paths() {
			if known := d.files[path]; known != nil && !seen[path] {
				seen[path] = true
				all = append(all, known.groups...)
			}
		}
	}
	return all
}
