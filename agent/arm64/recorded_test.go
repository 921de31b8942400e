// SPDX-License-Identifier: Apache-2.0

//go:build linux

package arm64

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// recording says where a committed recording comes from, and what the judge says of it.
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

// judge fills in the verdicts on the named subjects, and returns their rows of the table
// in docs/kernels.md.
func (rec *recording) judge(t *testing.T, name string, subjects []string, folded []byte) []string {
	t.Helper()
	expected := allExpected(t)
	rec.Subjects, rec.Failed, rec.Samples, rec.Complete = nil, nil, 0, 0
	var rows []string
	for _, subject := range subjects {
		e := expected[subject]
		if e == nil {
			t.Fatalf("%s: there is no subject %q", name, subject)
		}
		r, err := tracertest.Judge(e, bytes.NewReader(folded))
		if err != nil {
			t.Fatal(err)
		}
		rec.Samples += r.Samples
		rec.Complete += r.Complete
		verdict := "as expected"
		if len(r.Problems) == 0 {
			rec.Subjects = append(rec.Subjects, subject)
		} else {
			if rec.Failed == nil {
				rec.Failed = map[string][]string{}
			}
			rec.Failed[subject] = r.Problems
			verdict = "**not as expected**: " + strings.Join(r.Problems, "; ")
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %d | %.1f %% | %s |",
			subject, name, r.Samples, 100*float64(r.Complete)/float64(max(1, r.Samples)), verdict))
	}
	return rows
}

// keep writes a recording into testdata, by the name of its kernel.
func (b *booted) keep(t *testing.T, subjects []string, d time.Duration) {
	t.Helper()
	commit, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	which := "-all"
	if *only != "" {
		which = "-only " + *only
	}
	rec := recording{
		Kernel: b.kernel, Commit: strings.TrimSpace(string(commit)), Seconds: int(d.Seconds()),
		Command: "go test ./agent/arm64 -run TestGuest " + which + " -update -suite " + *suite,
	}
	rec.judge(t, *suite, slices.Sorted(slices.Values(subjects)), b.folded)
	var folded bytes.Buffer
	z := gzip.NewWriter(&folded)
	_, _ = z.Write(b.folded) // into memory
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil { //nolint:gosec // in the repository
		t.Fatal(err)
	}
	base := filepath.Join("testdata", *suite)
	rec.write(t, base+".json")
	if err := os.WriteFile(base+".folded.gz", folded.Bytes(), 0o644); err != nil { //nolint:gosec // in the repository
		t.Fatal(err)
	}
}

func (rec *recording) write(t *testing.T, file string) {
	t.Helper()
	text, err := json.MarshalIndent(rec, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644) //nolint:gosec // in the repository
	}
	if err != nil {
		t.Fatal(err)
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

// TestRecorded judges what was recorded in guests and committed: every subject that is
// in a recording, and not only those that were as expected. The verdicts are those that
// are written next to the recording and in docs/kernels.md.
func TestRecorded(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	var rows []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		var written recording
		if err == nil {
			err = json.Unmarshal(text, &written)
		}
		if err != nil {
			t.Fatal(err)
		}
		base := strings.TrimSuffix(file, ".json")
		folded := readRecorded(t, base+".folded.gz")
		judged := written
		rows = append(rows, judged.judge(t, filepath.Base(base), written.recorded(t, folded), folded)...)
		if len(judged.Subjects) == 0 {
			t.Errorf("%s: no subject is as expected", file)
		}
		if *update {
			judged.write(t, file)
		} else if diff := cmp.Diff(written, judged); diff != "" {
			t.Errorf("%s says of its recording what the judge does not (-written +judged):\n%s", file, diff)
		}
	}
	inDocs(t, "../../docs/kernels.md", rows)
}

// recorded returns the subjects that a recording has or should have, in order.
func (rec *recording) recorded(t *testing.T, folded []byte) []string {
	t.Helper()
	all := map[string]bool{}
	for _, name := range rec.Subjects {
		all[name] = true
	}
	for name := range rec.Failed {
		all[name] = true
	}
	for name, e := range allExpected(t) {
		r, err := tracertest.Judge(e, bytes.NewReader(folded))
		if err != nil {
			t.Fatal(err)
		}
		if r.Samples > 0 {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// inDocs wants the table in a document, or writes it there.
func inDocs(t *testing.T, file string, rows []string) {
	t.Helper()
	const (
		begin = "<!-- begin of the table of go test -run Recorded ./agent/arm64 -update -->\n"
		end   = "<!-- end of the table of recordings -->"
	)
	b, err := os.ReadFile(file) //nolint:gosec // in the repository
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal(file + " has no marks of the table")
	}
	want := before + begin + "| subject | recording | samples | complete | verdict |\n| --- | --- | --- | --- | --- |\n" +
		strings.Join(rows, "\n") + "\n" + end + after
	if *update {
		err = os.WriteFile(file, []byte(want), 0o644) //nolint:gosec // a document
	} else if diff := cmp.Diff(want, string(b)); diff != "" {
		err = fmt.Errorf("%s has other figures than the recordings (-recorded +written); -update writes it:\n%s", file, diff)
	}
	if err != nil {
		t.Error(err)
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
