// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// startup is the replay of the log. It is safe for concurrent use.
type startup struct {
	total, read atomic.Int64 // bytes of the log
	// done is closed when the replay has ended; err is set before.
	done chan struct{}
	err  error
}

// ended reports whether the replay is over and worked.
func (u *startup) ended() bool {
	select {
	case <-u.done:
		return u.err == nil
	default:
		return false
	}
}

// Replaying says how far the replay of the log has come that the last process left,
// "" when it is done. Until then queries find what has been replayed, and writes of
// samples are refused with [store.ErrBusy]: whether a batch is a repeat is only known
// when all of the log is.
func (s *Store) Replaying() string {
	if s.startup.ended() {
		return ""
	}
	select {
	case <-s.startup.done:
		if s.closed.Load() {
			return "closing"
		}
		return fmt.Sprintf("the log cannot be replayed: %v", s.startup.err)
	default:
	}
	total, read := s.startup.total.Load(), s.startup.read.Load()
	if total == 0 {
		return "replaying the log"
	}
	return fmt.Sprintf("replaying the log, %d %% of %d MiB", min(99, 100*read/total), (total+1<<20-1)>>20)
}

// WaitReplayed waits until the log is replayed. It returns why that failed.
func (s *Store) WaitReplayed(ctx context.Context) error {
	select {
	case <-s.startup.done:
		return s.startup.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkReplayed returns an error until the log is replayed.
func (s *Store) checkReplayed() error {
	if text := s.Replaying(); text != "" {
		return fmt.Errorf("%w: %s", store.ErrBusy, text)
	}
	return nil
}

// awaitReplayed waits for the replay while the disk takes what it writes.
func (s *Store) awaitReplayed() error {
	tick := time.NewTicker(s.cfg.checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.startup.done:
			return s.startup.err
		case <-tick.C:
			for _, kind := range []string{causeFlush, causeMeta} {
				if reason := s.guard.cause(kind); reason != "" {
					return readOnly(reason)
				}
			}
		}
	}
}

// startLoop replays the log and then is the committer.
func (s *Store) startLoop(first uint64, offset int64) {
	if err := s.replay(first, offset); err != nil {
		s.startup.err = err
		close(s.startup.done)
		if s.working.Err() == nil {
			s.guard.set(causeReplay, "the log cannot be replayed: "+err.Error()+"; restart when that is mended")
		}
		close(s.flushJobs)
		return
	}
	close(s.startup.done)
	s.commitLoop()
}

// replay reads the log from the given segment and offset on. A head that becomes full
// is cut there and then, and becomes a block while the next one fills, so that the
// length of the log does not matter.
func (s *Store) replay(first uint64, offset int64) error {
	started := time.Now()
	if err := removeSegments(s.walDir(), first); err != nil {
		return err
	}
	numbers, err := listSegments(s.walDir())
	if err != nil {
		return err
	}
	sizes := make([]int64, len(numbers))
	for i, n := range numbers {
		info, err := os.Stat(segmentPath(s.walDir(), n))
		if err != nil {
			return fmt.Errorf("size of log segment: %w", err)
		}
		sizes[i] = info.Size()
		s.startup.total.Add(sizes[i])
	}
	rows, before := 0, int64(0) // bytes of the segments before
	r := &replayer{dir: s.walDir(), logger: s.logger, metrics: s.metrics}
	var at uint64 // where the batch before ended
	var behind int64
	r.apply = func(batches []*store.Batch, segment uint64, end int64) error {
		if err := s.working.Err(); err != nil {
			return err
		}
		s.startup.read.Store(before + end)
		if segment != at {
			at, behind = segment, 0
		}
		cut := func() error { return s.cutReplayed(at, behind) }
		for _, b := range batches {
			added, err := s.replayBatch(b, cut)
			if err != nil {
				return err
			}
			if added {
				rows += len(b.Samples)
				cut = nil // a replay starts between records only
			}
		}
		behind = end
		return nil
	}
	defer r.start()()
	for i, n := range numbers {
		from := int64(0)
		if n == first {
			from = offset
		}
		if err := r.segment(s.working, n, from, i == len(numbers)-1); err != nil {
			return err
		}
		before += sizes[i]
		s.startup.read.Store(before)
	}
	last := max(first, 1) - 1
	if len(numbers) > 0 {
		last = max(last, numbers[len(numbers)-1])
	}
	s.wal = &wal{dir: s.walDir(), create: s.cfg.createSegment, segment: last}
	if rows > 0 {
		s.logger.Info("replayed log", "segments", len(numbers), "bytes", before, "samples", rows, "took", time.Since(started))
	}
	return nil
}

// replayBatch adds a batch to the head, unless it is a repeat of one whose first write
// seemed to fail. A full head is cut before, unless cut is nil, and so never when nothing
// comes after it: the log of an empty head would stay.
func (s *Store) replayBatch(b *store.Batch, cut func() error) (added bool, err error) {
	s.winMu.RLock()
	repeat := s.winSamples.has(&b.ID)
	s.winMu.RUnlock()
	if repeat {
		return false, nil
	}
	if cut != nil && s.headFull() {
		if err := cut(); err != nil {
			return false, err
		}
	}
	s.winMu.Lock()
	s.metrics.forgotten.Add(float64(s.winSamples.add(&b.ID, b.Weight(), s.now())))
	s.winMu.Unlock()
	s.head.add(b)
	return true, nil
}

// cutReplayed hands the head to the flusher and starts a new one. It waits while the
// flusher is busy with the one before.
func (s *Store) cutReplayed(segment uint64, end int64) error {
	s.viewMu.RLock()
	done := s.oldDone
	s.viewMu.RUnlock()
	if done != nil {
		select {
		case <-done:
		case <-s.gaveUp:
			return errClosed
		case <-s.working.Done():
			return s.working.Err()
		}
	}
	s.winMu.Lock()
	job := flushJob{head: s.head, windows: s.winSamples.takeDirty(), walFirst: segment, walOffset: end}
	s.winMu.Unlock()
	s.viewMu.Lock()
	s.old, s.head, s.oldDone = s.head, newHead(), make(chan struct{})
	s.viewMu.Unlock()
	s.flushJobs <- job // has room: there is one job at a time
	return nil
}
