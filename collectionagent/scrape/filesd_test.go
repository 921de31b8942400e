// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestRefresh reads a file that seems not to have changed once per refresh_interval.
func TestRefresh(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.json")
	writeFile(t, path, `[{"targets": ["a:1"]}]`)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	jobs := []*job{{files: []fileDiscovery{{patterns: []string{path}, refresh: time.Minute}}}}
	var d discovery
	start, reads := time.Now(), 0
	var last time.Time
	for at := time.Duration(0); at < 10*time.Minute; at += lookEvery {
		d.look(start.Add(at), jobs, func(path string, err error) { t.Error(path, err) })
		if f := d.files[path]; !f.at.Equal(last) {
			last = f.at
			reads++
		}
	}
	if reads != 10 {
		t.Errorf("the file was read %d times in 10 minutes, want 10", reads)
	}
}
