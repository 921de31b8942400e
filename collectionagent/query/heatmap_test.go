// SPDX-License-Identifier: Apache-2.0

package query

import (
	"testing"
	"time"
)

func TestNiceRows(t *testing.T) {
	t.Parallel()
	for column, want := range map[time.Duration]int{
		time.Millisecond: 1, 7 * time.Millisecond: 7, 10 * time.Millisecond: 10, time.Second: 50, 7 * time.Second: 56,
		time.Minute: 60, time.Hour: 60, 24 * time.Hour: 24, 7 * 24 * time.Hour: 24,
	} {
		if got := NiceRows(column); got != want {
			t.Errorf("%s is cut into %d rows, want %d", column, got, want)
		}
	}
}
