// SPDX-License-Identifier: Apache-2.0

//go:build linux

package arm64

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// recording says where a committed recording comes from.
type recording struct {
	Kernel, Commit, Command string
	// Seconds is how long the agent recorded.
	Seconds int
	// Subjects are those that were as expected, Failed says what was wrong with others.
	Subjects []string
	Failed   map[string][]string `json:",omitempty"`
	// Samples and Complete are those of all subjects.
	Samples, Complete int
}

// keep writes a recording into testdata, by the name of its kernel.
func (b *booted) keep(t *testing.T, names []string, failed map[string][]string, d time.Duration) {
	t.Helper()
	commit, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	rec := recording{
		Kernel: b.kernel, Commit: strings.TrimSpace(string(commit)), Subjects: names, Failed: failed, Seconds: int(d.Seconds()),
		Command: "go test ./agent/arm64 -all -update -suite " + *suite,
	}
	expected := allExpected(t)
	for _, name := range names {
		r, err := tracertest.Judge(expected[name], bytes.NewReader(b.folded))
		if err != nil {
			t.Fatal(err)
		}
		rec.Samples += r.Samples
		rec.Complete += r.Complete
	}
	text, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var folded bytes.Buffer
	z := gzip.NewWriter(&folded)
	_, _ = z.Write(b.folded) // into memory
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	base := filepath.Join("testdata", *suite)
	if err := os.MkdirAll("testdata", 0o755); err != nil { //nolint:gosec // in the repository
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{base + ".json": append(text, '\n'), base + ".folded.gz": folded.Bytes()} {
		if err := os.WriteFile(name, content, 0o644); err != nil { //nolint:gosec // in the repository
			t.Fatal(err)
		}
	}
}

func allExpected(t *testing.T) map[string]*tracertest.Expectation {
	t.Helper()
	expected, err := tracertest.ARM64Subjects()
	if err != nil {
		t.Fatal(err)
	}
	all, err := tracertest.Expectations()
	if err != nil {
		t.Fatal(err)
	}
	for name := range programs {
		expected[name] = all[name]
	}
	return expected
}

// TestRecorded judges what was recorded in guests and committed.
func TestRecorded(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	expected := allExpected(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		var rec recording
		if err == nil {
			err = json.Unmarshal(text, &rec)
		}
		if err != nil {
			t.Fatal(err)
		}
		folded := readRecorded(t, strings.TrimSuffix(file, ".json")+".folded.gz")
		if len(rec.Subjects) == 0 {
			t.Errorf("%s: no subjects", file)
		}
		for _, name := range rec.Subjects {
			t.Run(filepath.Base(file)+"/"+name, func(t *testing.T) {
				t.Parallel()
				e := expected[name]
				if e == nil {
					t.Fatal("there is no such subject")
				}
				r, err := tracertest.Judge(e, bytes.NewReader(folded))
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range r.Problems {
					t.Error(p)
				}
			})
		}
	}
}

func readRecorded(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path) //nolint:gosec // in the repository
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
