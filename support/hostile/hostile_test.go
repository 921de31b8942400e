// SPDX-License-Identifier: Apache-2.0

package hostile

import "testing"

// recorder is a test that notes whether it failed.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

var sink []byte

func TestBound(t *testing.T) {
	for _, test := range []struct {
		name               string
		size, factor, take int
		failed             bool
	}{
		{"nothing", 0, 1, 0, false},
		{"slack", 0, 1, slack / 2, false},
		{"what a length asked for", 8, 16, 4 * slack, true},
		{"in proportion", slack, 4, 3 * slack, false},
	} {
		r := &recorder{TB: t}
		Bound(r, test.size, test.factor, func() { sink = make([]byte, test.take) })
		if r.failed != test.failed {
			t.Errorf("%s: failed is %t", test.name, r.failed)
		}
	}
}
