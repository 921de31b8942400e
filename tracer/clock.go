// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
)

// clockSyncInterval is how often the distance between the kernel's clock and
// the wall clock is measured again. In between it is constant, so that samples
// keep their distances when the wall clock is stepped.
const clockSyncInterval = 3 * time.Minute

// clock turns times since boot, which the kernel stamps samples with, into
// times since the epoch. It is used by one goroutine.
type clock struct {
	offset int64
	synced time.Time
}

func (c *clock) unix(sinceBoot uint64) libpf.UnixTimeNs {
	if now := time.Now(); c.synced.IsZero() || now.Sub(c.synced) > clockSyncInterval {
		c.offset, c.synced = bootTime(), now
	}
	return libpf.UnixTimeNs(int64(sinceBoot) + c.offset) //nolint:gosec // 292 years
}

// bootTime returns the time of boot, in ns since the epoch: the best of a few
// tries, since the process may be interrupted between the two clocks.
func bootTime() int64 {
	best, offset := int64(1<<62), int64(0)
	for range 5 {
		var before, wall, after unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &before) // cannot fail
		_ = unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &after)
		b, a := before.Nano(), after.Nano()
		if a-b < best {
			best, offset = a-b, wall.Nano()-(a+b)/2
		}
	}
	return offset
}
