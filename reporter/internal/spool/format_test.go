// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mark gives all segments of a directory another format.
func mark(t *testing.T, dir string, format byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[magicBytes-1] = format
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOtherFormat goes back from an agent of another format and to it again: what that
// wrote is left to it, and neither loses what it kept.
func TestOtherFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	appendTest(t, s, 1, 20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mark(t, dir, magic[magicBytes-1]+1)

	s = openTest(t, Options{Dir: dir})
	if st := s.Stats(); st.Batches != 0 || st.Bytes == 0 || st.Errors["format"] == 0 || len(st.Corrupt) != 0 {
		t.Errorf("stats %+v", st)
	}
	appendTest(t, s, 101, 110)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// The other agent reads both.
	mark(t, dir, magic[magicBytes-1])
	s = openTest(t, Options{Dir: dir})
	if got, _ := readAll(t, s); cmp.Diff(append(upTo(1, 20), upTo(101, 110)...), got) != "" {
		t.Errorf("read %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOtherFormatFull holds that another agent's segments do not keep this one from its
// spool: they are older, and go first once there is nothing else to give up.
func TestOtherFormatFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, MaxBytes: 1 << 20})
	appendTest(t, s, 1, 20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mark(t, dir, magic[magicBytes-1]+1)
	room := SegmentBytes(dir)
	s = openTest(t, Options{Dir: dir, MaxBytes: room + headerBytes})
	r := testRecord(1)
	if _, err := s.Append(&r, false); err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	if st.Corrupt[reasonFormat] == 0 || st.Batches != 1 || st.Bytes > st.MaxBytes {
		t.Errorf("stats %+v", st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
