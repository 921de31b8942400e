// SPDX-License-Identifier: Apache-2.0

package nearest

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	t.Parallel()
	names := []string{"service", "host", "process", "comm", "collection-agent"}
	for in, want := range map[string]string{
		"servce": "service", "Service": "service", "hots": "host", "xyz": "", "": "",
		"colection_agents": "collection-agent", "collector": "",
		strings.Repeat("x", maxLength+1): "",
	} {
		if got := Name(in, names); got != want {
			t.Errorf("%q: %q instead of %q", in, got, want)
		}
	}
}

func TestNameOfLongNames(t *testing.T) {
	t.Parallel()
	if got := Name("host", []string{strings.Repeat("x", 1<<20), "hosts"}); got != "hosts" {
		t.Errorf("%q instead of hosts", got)
	}
}

func TestEdits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abc", 0}, {"kitten", "sitting", 3}, {"ab", "ba", 2}} {
		if got := edits(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d instead of %d", c.a, c.b, got, c.want)
		}
	}
}
