// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// patient makes a reporter wait for late answers, with a queue that is soon full.
func patient(c *Config, _ *Options) {
	c.CountsForTracesMaxQueue = 64
	times := fastTimes()
	times.operation = time.Minute
	c.Times = times
}

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
	r := startSpool(t, s.serve(), t.TempDir(), patient)
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

// A batch whose answer is late has its place on disk before what went there meanwhile:
// after an outage definitions still come before the samples that need them.
func TestLateAnswerKeepsOrder(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	asked, answer := make(chan struct{}), make(chan error)
	late := true
	s.setFault(func(method string, _ proto.Message) error {
		if method != laneStacks && late {
			return nil
		}
		if late {
			late = false
			asked <- struct{}{}
			return <-answer
		}
		return errAway
	})
	r := startSpool(t, s.serve(), t.TempDir(), patient)
	report(r, 0, 25)
	<-asked
	report(r, 25, 60) // more than half of what the queue holds
	eventually(t, "the rest is on disk", func() bool { return r.Status().Ledger.Spooled == 60 })
	answer <- errAway
	eventually(t, "the outage is noticed", func() bool { return r.Status().State == StateDisconnected })
	s.setFault(nil)
	eventually(t, "delivery", func() bool { return r.Status().Ledger.Stored == 60 && r.Status().Spool.Batches == 0 })
	r.Stop()
	checkRows(t, s, 0, 60)
	checkLedger(t, r)
	if s.orphans > 0 {
		t.Errorf("%d definitions came late", s.orphans)
	}
}

// What wakes the flusher while it waits for an answer is not forgotten when there is
// no disk to put it on.
func TestLateAnswerWithoutSpool(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	asked, answer := make(chan struct{}), make(chan error)
	attempts := 0
	s.setFault(func(method string, _ proto.Message) error {
		if method != laneCounts {
			return nil
		}
		if attempts++; attempts > 2 {
			return nil
		}
		asked <- struct{}{}
		return <-answer
	})
	r := startTest(t, s.serve(), func(c *Config, _ *Options) {
		c.CountsForTracesMaxQueue = 64
		times := fastTimes()
		times.report, times.operation = time.Minute, time.Minute
		c.Times = times
	})
	report(r, 0, 1)
	r.pump.wake()
	<-asked
	answer <- status.Error(codes.Internal, "bug")
	// The second attempt is a flush that seals nothing.
	for again := false; !again; {
		r.pump.wake()
		select {
		case <-asked:
			again = true
		case <-time.After(time.Millisecond):
		}
	}
	report(r, 1, 41) // more than half of what the queue holds
	eventually(t, "the flusher is woken", func() bool { return len(r.pump.wakeup) == 0 })
	answer <- nil
	eventually(t, "delivery without waiting for the next interval", func() bool { return r.Status().Ledger.Stored == 41 })
}
