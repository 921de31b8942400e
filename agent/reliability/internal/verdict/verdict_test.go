// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"io"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	table := New(io.Discard)
	table.Figure("rate", "%d samples/s", 7)
	table.Check(true, "alive", "yes | no")
	if Equal(table, "stored", 1, 2, "captured") || !Equal(table, "stored", 2, 2, "captured") {
		t.Error("Equal does not say what it found")
	}
	if got := table.Failed(); got != 1 {
		t.Errorf("%d claims failed, want 1", got)
	}
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"|  | rate | 7 samples/s |", `| ok | alive | yes \| no |`, "| FAIL | stored | 1, 2 captured |", "| ok | stored | 2 = 2 captured |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
