// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/proto/otlpcheck"
)

// TestPdata converts and checks what versions of the Collector write. The oldest has
// the fields of OTLP 1.9, with other numbers.
func TestPdata(t *testing.T) {
	files, err := filepath.Glob("../../collectionagent/otlp/testdata/pdata/v*-*.*")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		data, err := os.ReadFile(file) //nolint:gosec // of a test
		if err != nil {
			t.Fatal(err)
		}
		r := otlpcheck.CheckBytes(data, otlpcheck.Limits{}, otlpcheck.Options{})
		if strings.HasPrefix(name, "v0.147.") && strings.HasSuffix(name, ".bin") {
			if r.Counts["unknown-field"] == 0 {
				t.Errorf("%s: no unknown fields: %v", name, r.Err())
			}
			continue
		}
		if r.Err() != nil || r.Samples != 4 {
			t.Errorf("%s: %d samples, %v", name, r.Samples, r.Err())
		}
		m, err := otlpcheck.Decode(data, otlpcheck.Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		list, err := ToPprof(m, 0)
		if err != nil || len(list) != 3 {
			t.Errorf("%s: %d profiles, %v", name, len(list), err)
		}
		for _, c := range list {
			if err := c.Profile.CheckValid(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			roundTrip(t, c.Profile)
		}
	}
}
