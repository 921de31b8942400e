// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"math"
	"strconv"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// windowTolerance is by how much a sample may lie outside of what the server
// announced before it is left out unasked: the server is who decides.
const windowTolerance = time.Minute

// window is the time that samples may have been taken in, both ends inclusive.
type window struct{ earliest, latest libpf.UnixTimeNs }

var anyTime = window{math.MinInt64, math.MaxInt64}

// keep drops the rows outside of the window and returns the rest in the same buffer.
func (w window) keep(q *sampleQueue, rows []libpf.Sample) []libpf.Sample {
	var old, future uint64
	kept := rows[:0]
	for i := range rows {
		switch row := &rows[i]; {
		case row.Time < w.earliest:
			old += uint64(row.Count)
		case row.Time > w.latest:
			future += uint64(row.Count)
		default:
			if len(kept) != i {
				rows[len(kept)] = *row
			}
			kept = kept[:len(kept)+1]
		}
	}
	clear(rows[len(kept):])
	if old > 0 {
		q.settle(old, reasonTooOld)
	}
	if future > 0 {
		q.settle(future, reasonInFuture)
	}
	return kept
}

// outOfRangeReason is the protocol's name for samples outside of the window.
const outOfRangeReason = "SAMPLE_TIME_OUT_OF_RANGE"

// windowOf reads the window out of a refusal.
func windowOf(st *status.Status) (window, bool) {
	for _, detail := range st.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.GetReason() != outOfRangeReason {
			continue
		}
		w := anyTime
		for key, end := range map[string]*libpf.UnixTimeNs{"earliest_ns": &w.earliest, "latest_ns": &w.latest} {
			if text, ok := info.GetMetadata()[key]; ok {
				n, err := strconv.ParseInt(text, 10, 64)
				if err != nil {
					return window{}, false
				}
				*end = libpf.UnixTimeNs(n)
			}
		}
		return w, w != anyTime
	}
	return window{}, false
}

// serverClock is what the server announced of its time and its window. Safe for
// concurrent use.
type serverClock struct {
	mu        sync.Mutex
	time      int64 // the server's, in ns, 0: unknown
	read      time.Time
	age, lead int64 // 0: without bound
}

// announce takes over what the handshake said.
func (c *serverClock) announce(info *pb.GetServerInfoResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.age, c.lead = max(info.GetMaxSampleAge(), 0), max(info.GetMaxSampleLead(), 0)
	c.time, c.read = info.GetServerTime(), time.Now()
}

// tick takes note of the server's time in an answer.
func (c *serverClock) tick(serverTime int64) {
	if serverTime == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time, c.read = serverTime, time.Now()
}

// window returns what the server would take now, with tolerance. Our clock may have
// been set and the host may have slept since the server's time was read, so the
// time passed is measured both ways, and each end of the window takes the wider one.
func (c *serverClock) window() window {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := anyTime
	if c.time <= 0 {
		return w
	}
	now := time.Now()
	running, shown := now.Sub(c.read), now.Round(0).Sub(c.read.Round(0))
	if c.age > 0 {
		w.earliest = libpf.UnixTimeNs(c.time + int64(min(running, shown)-windowTolerance) - c.age)
	}
	if c.lead > 0 {
		// A lead of centuries ends where time does, and not before it begins.
		if latest := c.time + int64(max(running, shown)+windowTolerance); c.lead < math.MaxInt64-latest {
			w.latest = libpf.UnixTimeNs(latest + c.lead)
		}
	}
	return w
}
