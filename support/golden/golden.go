// SPDX-License-Identifier: Apache-2.0

// Package golden compares what tests get with files of what is right, which
// `go test -update` writes. The flag belongs to every test that imports the package.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// Update tells whether the test was asked to write what is right rather than to compare.
// It is for what is kept otherwise than [Equal] does.
func Update() bool { return *update }

// Equal compares a text with the file at a path, and fails the test with what differs. With
// -update it writes the file, and its folder, first. It is safe for concurrent use on
// different files.
func Equal[Text string | []byte](t testing.TB, path string, got Text) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // goes into the repository
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path) //nolint:gosec // of the test
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs, -update writes it (-want +got):\n%s", path, diff)
	}
}
