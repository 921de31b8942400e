// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/delta"
)

// TestWideDelta reads what it writes with the decoder of the library.
func TestWideDelta(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // the same each time
	var e wideDelta
	check := func(values []int64) {
		t.Helper()
		b, err := e.EncodeInt64([]byte("old"), values)
		if err != nil {
			t.Fatal(err)
		}
		got, err := (&delta.BinaryPackedEncoding{}).DecodeInt64(nil, b)
		if err != nil || !slices.Equal(got, values) {
			t.Fatalf("%d values become %d others: %v", len(values), len(got), err)
		}
	}
	for _, n := range []int{0, 1, 2, 3, 255, 256, 257, 258, 1023, 1024, 1025, 1026, 1281, 1282, 5000} {
		for _, width := range []int64{1, 2, 200, 1 << 15, 1 << 23, 1 << 31, 1 << 40, math.MaxInt64} {
			values := make([]int64, n)
			for i := range values {
				values[i] = r.Int64N(width)
			}
			check(values)
			slices.Sort(values)
			check(values)
		}
	}
	check([]int64{math.MinInt64, math.MaxInt64, math.MinInt64, 0, -1, 1})
}
