// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// request is a batch on its way to the log.
type request struct {
	batch *store.Batch
	bytes int // about so many in the log before compression
	// answer has room for one result, so the committer never waits for a caller
	// that has left.
	answer chan result
}

// result is what Append returns.
type result struct {
	duplicate bool
	err       error
}

// Bounds of one commit.
const (
	maxGroupBytes   = 8 << 20
	maxGroupBatches = 256
)

// now is when a batch window was used.
func (s *Store) now() time.Time { return s.cfg.now() }

// Append implements [store.Store]. When the context ends while the batch is on
// its way to the disk the batch may be stored all the same; a repeat is then a duplicate.
func (s *Store) Append(ctx context.Context, b *store.Batch) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := b.Check(); err != nil {
		return false, err
	}
	if err := s.guard.check(); err != nil {
		if applied, appliedErr := s.Applied(ctx, b.ID); applied && appliedErr == nil {
			return true, nil
		}
		s.metrics.rejected.WithLabelValues("read_only").Inc()
		return false, err
	}
	if err := s.checkReplayed(); err != nil {
		if applied, appliedErr := s.Applied(ctx, b.ID); applied && appliedErr == nil {
			return true, nil
		}
		s.metrics.rejected.WithLabelValues("replaying").Inc()
		return false, err
	}
	r := &request{batch: b, bytes: logBytes(b), answer: make(chan result, 1)}
	if r.bytes > maxRecord {
		return false, fmt.Errorf("%w: %d samples are too many for the log", store.ErrInvalid, len(b.Samples))
	}
	if err := s.send(ctx, r); err != nil {
		return false, err
	}
	select {
	case res := <-r.answer:
		return res.duplicate, res.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// send hands a request to the committer.
func (s *Store) send(ctx context.Context, r *request) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.users.RUnlock()
	select {
	case s.requests <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commitLoop is the committer. It ends when the requests are closed and done.
func (s *Store) commitLoop() {
	defer close(s.flushJobs)
	age := time.NewTicker(max(s.cfg.HeadMaxAge/16, 10*time.Millisecond))
	defer age.Stop()
	for {
		select {
		case r, ok := <-s.requests:
			if !ok {
				s.cutHead(true)
				return
			}
			s.commit(s.collect(r))
		case answer := <-s.cuts:
			s.cutAll()
			s.viewMu.RLock()
			done := s.oldDone
			s.viewMu.RUnlock()
			answer <- done
		case <-age.C:
			s.winMu.Lock()
			s.winSamples.expire(s.now())
			s.winMu.Unlock()
			if s.head.view.rows > 0 && time.Since(s.head.created) >= s.cfg.HeadMaxAge {
				s.cutHead(false)
			}
		}
	}
}

// collect returns the requests that go into one commit with the first. It takes
// all that wait, and waits itself, for the group window at most, until as many
// are there as last time: writers that were just answered are usually about to
// come back. A single writer therefore never waits.
func (s *Store) collect(first *request) []*request {
	group := []*request{first}
	size := first.bytes
	var timeout <-chan time.Time
	for size < maxGroupBytes && len(group) < maxGroupBatches {
		select {
		case r, ok := <-s.requests:
			if !ok {
				return group
			}
			group = append(group, r)
			size += r.bytes
			continue
		default:
		}
		if len(group) >= s.lastGroup {
			break
		}
		if timeout == nil {
			timer := time.NewTimer(s.cfg.GroupWindow)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case r, ok := <-s.requests:
			if !ok {
				return group
			}
			group = append(group, r)
			size += r.bytes
		case <-timeout:
			s.lastGroup = 0 // they did not come back
		}
	}
	return group
}

// commit makes a group durable and answers everyone in it.
func (s *Store) commit(group []*request) {
	s.lastGroup = len(group)
	if err := s.makeRoom(); err != nil {
		reason := "read_only"
		if errors.Is(err, store.ErrBusy) {
			reason = "busy"
		}
		s.metrics.rejected.WithLabelValues(reason).Add(float64(len(group)))
		answer(group, result{err: err})
		return
	}
	group = s.refuseBarred(group)
	fresh := make([]*request, 0, len(group))
	inGroup := make(map[store.BatchID]bool, len(group))
	var repeats []*request
	s.winMu.RLock() // a deletion forgets windows, too
	for _, r := range group {
		if s.winSamples.has(&r.batch.ID) || inGroup[r.batch.ID] {
			repeats = append(repeats, r)
			continue
		}
		if r.batch.ID != (store.BatchID{}) {
			inGroup[r.batch.ID] = true
		}
		fresh = append(fresh, r)
	}
	s.winMu.RUnlock()
	numbers := s.numbered[:0]
	if len(fresh) > 0 {
		s.head.begin()
		for _, r := range fresh {
			numbers = append(numbers, s.head.number(r.batch))
		}
		s.numbered = numbers
		defer clear(numbers)
		size, err := s.wal.append(s.head, numbers)
		if err != nil {
			s.head.takeBack()
			s.metrics.walErrors.Inc()
			s.guard.set(causeLog, err.Error())
			// A repeat of a batch in this same group shares its fate, others do not;
			// telling all of them to try again is right for both.
			answer(group, result{err: readOnly(err.Error())})
			return
		}
		s.metrics.walSyncs.Inc()
		s.metrics.walBytes.Add(float64(size))
		s.metrics.walRecords.Add(float64(len(fresh)))
		s.metrics.groupSize.Observe(float64(len(fresh)))
	}
	s.remember(fresh)
	s.garbage.use(func(note func(libpf.TraceHash)) {
		s.head.note = note
		for i := range numbers {
			s.head.addNumbered(&numbers[i])
		}
		s.head.note = nil
	})
	answer(fresh, result{})
	answer(repeats, result{duplicate: true})
	s.metrics.duplicates.WithLabelValues("samples").Add(float64(len(repeats)))
	if s.headFull() {
		s.cutHead(false)
	} else if s.wal.full(s.cfg.SegmentBytes) {
		if _, err := s.wal.rotate(); err != nil {
			s.logger.Warn("closing a log segment", "err", err) // its content is synced
		}
	}
}

// remember adds batches that are in the log to the windows.
func (s *Store) remember(fresh []*request) {
	now := s.now()
	s.winMu.Lock()
	defer s.winMu.Unlock()
	for _, r := range fresh {
		s.metrics.forgotten.Add(float64(s.winSamples.add(&r.batch.ID, r.batch.Weight(), now)))
	}
}

// answer answers requests.
func answer(requests []*request, r result) {
	for _, req := range requests {
		req.answer <- r
	}
}

// headFull reports whether the head has its half of the memory.
func (s *Store) headFull() bool { return s.head.bytes.Load() >= s.cfg.HeadMaxBytes/2 }

// makeRoom makes sure that the head can grow: while a full head waits for the
// one before it to be written, writers wait too, for a short time. They are
// refused when that is not enough or blocks cannot be written at all.
func (s *Store) makeRoom() error {
	var deadline <-chan time.Time
	for s.headFull() {
		s.cutHead(false)
		if !s.headFull() {
			return nil
		}
		s.viewMu.RLock()
		done := s.oldDone
		s.viewMu.RUnlock()
		if done == nil {
			continue
		}
		if deadline == nil {
			timer := time.NewTimer(s.cfg.maxStall)
			defer timer.Stop()
			deadline = timer.C
		}
		select {
		case <-done:
		case <-time.After(min(s.cfg.checkEvery, s.cfg.maxStall)):
			if err := s.guard.check(); err != nil {
				return err
			}
		case <-deadline:
			return fmt.Errorf("%w: samples come faster than the disk takes blocks", store.ErrBusy)
		}
	}
	return nil
}

// cutHead hands the head to the flusher and starts a new one, unless the one
// before is still being written. With wait it waits for that.
func (s *Store) cutHead(wait bool) {
	if s.head.view.rows > 0 {
		s.cut(wait)
	}
}

// cutAll hands the head to the flusher even when it has no rows but the log has
// something: a batch that has none, or what is left of a write that failed.
func (s *Store) cutAll() {
	numbers, err := listSegments(s.walDir())
	if s.head.view.rows > 0 || err != nil || len(numbers) > 0 {
		s.cut(true)
	}
}

// cut is cutHead of a head with or without rows.
func (s *Store) cut(wait bool) {
	s.viewMu.RLock()
	done := s.oldDone
	s.viewMu.RUnlock()
	if done != nil {
		if !wait {
			return
		}
		select {
		case <-done:
		case <-s.gaveUp:
			return // both heads stay in the log
		}
	}
	walFirst, err := s.wal.rotate()
	if err != nil {
		s.logger.Warn("closing a log segment", "err", err) // its content is synced
	}
	s.winMu.Lock()
	job := flushJob{head: s.head, windows: s.winSamples.takeDirty(), walFirst: walFirst}
	s.winMu.Unlock()
	s.viewMu.Lock()
	s.old, s.head, s.oldDone = s.head, newHead(), make(chan struct{})
	s.viewMu.Unlock()
	s.flushJobs <- job // never blocks: there is one job at a time
}
