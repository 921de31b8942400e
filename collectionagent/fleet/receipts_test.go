// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"testing"
	"time"
)

func TestLastMinute(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	c := &Counter{Now: func() time.Time { return now }}
	want := func(m Minute) {
		t.Helper()
		if got := c.LastMinute("shop"); got != m {
			t.Errorf("%s: got %+v, want %+v", now.UTC(), got, m)
		}
	}
	want(Minute{})
	c.Store("shop", 10, false)
	c.Store("shop", 4, true)
	c.Refuse("shop", "invalid", 3)
	c.Store("other", 99, false)
	want(Minute{Received: 17, Stored: 10, Duplicate: 4})
	now = now.Add(30 * time.Second)
	c.Store("shop", 1, false)
	want(Minute{Received: 18, Stored: 11, Duplicate: 4})
	now = now.Add(25 * time.Second)
	want(Minute{Received: 18, Stored: 11, Duplicate: 4})
	now = now.Add(5 * time.Second) // what came first is a minute old
	want(Minute{Received: 1, Stored: 1})
	c.Store("shop", 2, false) // takes the place of what came first
	want(Minute{Received: 3, Stored: 3})
	now = now.Add(time.Hour)
	want(Minute{})
	now = now.Add(-2 * time.Hour) // a clock that was put back
	want(Minute{})
	if got := c.Receipts("shop"); got.Received != 20 || got.Stored != 13 || got.Duplicate != 4 || got.Refused["invalid"] != 3 {
		t.Errorf("got %+v", got)
	}
}
