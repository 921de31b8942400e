// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
)

// TestMemoryIsDocumented compares the shares of the parts with docs/memory.md.
func TestMemoryIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/memory.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\| (\\d+ %) \\|").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = m[2]
	}
	const total = 100 << 30
	p, err := memory.NewPlan(total, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for part, n := range p.Bytes {
		want[string(part)] = fmt.Sprintf("%d %%", (n+total/200)*100/total)
	}
	if d := cmp.Diff(want, documented); d != "" {
		t.Errorf("docs/memory.md differs from the shares (-shares +docs):\n%s", d)
	}
}
