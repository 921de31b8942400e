// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
)

// A server that keeps a batch without an answer does not make the queue overflow:
// what comes meanwhile goes to disk.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	s.setFault(func(method string, _ proto.Message) error {
		if method == laneCounts {
			select {
			case asked <- struct{}{}:
			default:
			}
			<-answer
		}
		return nil
	})
	r := startSpool(t, s.serve(), t.TempDir(), func(c *Config, _ *Options) {
		c.CountsForTracesMaxQueue = 64
		times := fastTimes()
		times.operation = time.Minute
		c.Times = times
	})
	report(r, 0, 10)
	<-asked
	const rows = 2000 // many times what the queue holds
	for i := 10; i < rows; i += 10 {
		report(r, i, i+10)
		// The queue wakes the flusher when it is half full; a caller that never pauses could be faster.
		eventually(t, "room in the queue", func() bool { return r.samples.status().Items < 32 })
	}
	l := r.Status().Ledger
	if l.Spooled == 0 || len(l.Dropped) != 0 || r.samples.status().Summed != 0 {
		t.Errorf("ledger %+v, %d summed", l, r.samples.status().Summed)
	}
	close(answer)
	eventually(t, "delivery", func() bool { return r.Status().Ledger.Stored == rows })
	checkRows(t, s, 0, rows)
}
