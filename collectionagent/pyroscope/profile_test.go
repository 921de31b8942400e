// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/libpf"
)

func TestWindow(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct{ span, step, want time.Duration }{
		{time.Minute, time.Second, 10 * time.Second},
		{2 * time.Hour, time.Minute, 10 * time.Second},
		{12 * time.Hour, 12 * time.Minute, time.Minute},
		{12 * time.Hour, 15 * time.Second, 10 * time.Second}, // not longer than the step
		{3 * day, 30 * time.Second, time.Minute},             // which would be too many
		{30 * day, 12 * time.Hour, time.Hour},
		{366 * 290 * day, 366 * day, day},
	} {
		if got := window(&query.Selection{To: libpf.UnixTimeNs(c.span)}, c.step); got != c.want {
			t.Errorf("%s in steps of %s: %s, want %s", c.span, c.step, got, c.want)
		}
	}
}

func TestProfileID(t *testing.T) {
	t.Parallel()
	process := []string{"shop", "node-1", "42", "", "shop-1", "", "app", "7"}
	for _, width := range windows {
		start := libpf.UnixTimeNs(1_795_255_200 * time.Second)
		id := profileID(start, width, process)
		gotStart, gotWidth, hash, err := parseProfileID(id)
		if err != nil || gotStart != start || gotWidth != width || hash != hashOf(process) || len(id) != 36 {
			t.Errorf("%s: %s, %s, %x, %v", id, gotStart, gotWidth, hash, err)
		}
	}
	process[0] = "other"
	if hashOf(process) == hashOf([]string{"shop", "node-1", "42", "", "shop-1", "", "app", "7"}) {
		t.Error("two processes have one ID")
	}
	for _, id := range []string{"", "-", "006b0170", "096b0170-60ff-ffff-ffff-ffffffffffff", "x06b0170-60ff-ffff-ffff-ffffffffffff"} {
		if _, _, _, err := parseProfileID(id); err == nil {
			t.Errorf("%q is an ID", id)
		}
	}
}
