// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"testing"

	"github.com/strobe-profiler/strobe/support/doctest"
)

// TestAddingARuntime runs what docs/adding-a-runtime.md says to run without root.
func TestAddingARuntime(t *testing.T) {
	doc := doctest.Open(t, "docs/adding-a-runtime.md", "4. Subjects and the judge")
	// This test is one of those that the command runs.
	doc.Shell(t, doctest.Options{Replace: map[string]string{"go test ./": "go test -skip TestAddingARuntime ./"}}).RunAll()
}
