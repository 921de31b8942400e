// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/golden"
)

// TestDocument holds docs/configure.md to the help of the commands.
func TestDocument(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, name := range []string{"record", "doctor", "status"} {
		var out bytes.Buffer
		if status := run(t.Context(), []string{name, "-help"}, &out, &out); status != exitOK || out.Len() == 0 {
			t.Errorf("%s -help: status %d, %q", name, status, out.String())
		}
		b.WriteString("```text\n" + strings.Trim(out.String(), "\n") + "\n```\n\n")
	}
	doctest.Generated(t, "docs/configure.md", "agent commands", b.String(), golden.Update())
}
