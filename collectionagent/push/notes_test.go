// SPDX-License-Identifier: Apache-2.0

package push

import (
	"strconv"
	"strings"
	"testing"
)

// TestNotes checks that each note is kept once, and not more of them than an answer has room for.
func TestNotes(t *testing.T) {
	t.Parallel()
	var n notes
	for range 2 {
		for _, note := range []string{"", "b", "a"} {
			n.add(note)
		}
	}
	if got := n.String(); got != "b; a" {
		t.Errorf("%q", got)
	}
	for i := range 100 {
		n.add(strconv.Itoa(i))
	}
	if got := n.String(); !strings.HasSuffix(got, "; 13 (and 86 more)") {
		t.Errorf("%q", got)
	}
}
