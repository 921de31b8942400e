// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// compactNice is the nice value of the thread that merges blocks.
const compactNice = 10

// errNoRoom is returned when the disk has no room for the result of a merge.
var errNoRoom = errors.New("the disk has not enough room to merge blocks")

// compactLoop merges blocks in the background, one set at a time.
func (s *Store) compactLoop() {
	// The thread ends with the goroutine, so nobody else inherits its priority.
	runtime.LockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, compactNice); err != nil {
		s.logger.Warn("blocks are merged at normal priority", "err", err)
	}
	tick := time.NewTicker(s.cfg.compaction.every)
	defer tick.Stop()
	noRoom := false
	for {
		select {
		case <-tick.C:
		case <-s.working.Done():
			return
		}
		err := s.compact(s.working, false)
		switch {
		case err == nil || s.working.Err() != nil:
			noRoom = false
		case errors.Is(err, errNoRoom):
			if !noRoom {
				s.logger.Warn("blocks are not merged for now", "err", err)
			}
			noRoom = true
		default:
			s.logger.Error("merging blocks; it is tried again", "err", err)
		}
		if err := s.packStacksWhenDue(s.working); err != nil && s.working.Err() == nil {
			s.logger.Error("packing definitions of stacks; it is tried again", "err", err)
		}
	}
}

// Maintain writes the head as a block and does now what the engine otherwise does in the
// background when its time has come: it merges the blocks of each window and makes
// their roll-ups. No answer changes by it. It ends early with the context's error.
func (s *Store) Maintain(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.users.RUnlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.working, cancel)()
	if err := s.flushHead(ctx); err != nil {
		return fmt.Errorf("write head: %w", err)
	}
	if err := s.compact(ctx, true); err != nil {
		return err
	}
	if err := s.retain(ctx); err != nil {
		return err
	}
	if err := s.collectGarbage(ctx); err != nil {
		return err
	}
	if err := s.packStacks(ctx, true); err != nil {
		return err
	}
	return s.offload(ctx)
}

// flushHead waits until everything that is in a head now is in blocks, and the log
// no longer holds it. It gives up when the disk does not take the block.
func (s *Store) flushHead(ctx context.Context) error {
	if err := s.checkReplayed(); err != nil {
		return err
	}
	answer := make(chan (<-chan struct{}), 1)
	done := make(<-chan struct{})
	cuts := s.cuts
	tick := time.NewTicker(s.cfg.checkEvery)
	defer tick.Stop()
	for {
		select {
		case cuts <- answer:
			cuts = nil
		case done = <-answer:
			if done == nil {
				return s.removeOldSegments()
			}
		case <-done:
			return s.removeOldSegments()
		case <-tick.C:
			for _, kind := range []string{causeFlush, causeMeta} {
				if reason := s.guard.cause(kind); reason != "" {
					return readOnly(reason)
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// removeOldSegments removes the log segments whose samples are in blocks. A flush does
// that too, but does not insist on it.
func (s *Store) removeOldSegments() error {
	s.listMu.Lock() // a flush removes them before it lets go
	defer s.listMu.Unlock()
	v, err := get(s.db, []byte(keyWALFirst))
	if err != nil || v == nil {
		return err
	}
	d := decoder{b: v}
	first := d.uvarint()
	if d.err != nil {
		return d.err
	}
	return removeSegments(s.walDir(), first)
}

// compact does all merges that are due, or those of all windows as if their time
// were over.
func (s *Store) compact(ctx context.Context, all bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		more, err := s.compactOnce(ctx, all)
		if err != nil || !more {
			return err
		}
	}
}

// compactOnce does the most urgent merge. more is false when none was due.
func (s *Store) compactOnce(ctx context.Context, all bool) (more bool, err error) {
	unlock, err := s.lockUpkeep(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	_, blocks, _ := s.readView()
	if s.objectsFail() { // what can be read is merged meanwhile
		blocks = slices.DeleteFunc(blocks, func(b *block) bool { return b.info.Remote })
	}
	j := s.cfg.compaction.plan(blocks, s.now(), all)
	if j == nil {
		return false, nil
	}
	if err := s.room(j.in); err != nil {
		s.metrics.compactionErrors.WithLabelValues("no_room").Inc()
		return false, err
	}
	started := time.Now()
	result, err := s.rewrite(ctx, j.in, j.to, nil, nil)
	s.metrics.compactionSeconds.Observe(time.Since(started).Seconds())
	bad := isBadBlock(err)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return false, err
	case errors.Is(err, errBlockGone): // it expired meanwhile
		s.metrics.compactionErrors.WithLabelValues("expired").Inc()
		return true, nil
	case bad != nil:
		s.metrics.compactionErrors.WithLabelValues("bad_block").Inc()
		bad.aside.Store(true)
		s.logger.Error("block cannot be read and is not merged; restore it from a backup or delete its time range",
			"files", bad.info.files(), "err", err)
		return true, nil
	case isPassing(err):
		s.metrics.compactionErrors.WithLabelValues("read").Inc()
		return false, fmt.Errorf("merge blocks: %w", err)
	default:
		s.metrics.compactionErrors.WithLabelValues("write").Inc()
		return false, fmt.Errorf("merge blocks: %w", err)
	}
	s.metrics.compactions.WithLabelValues(strconv.Itoa(j.to.level)).Inc()
	s.metrics.compactedRows.Add(float64(result.rows))
	s.metrics.retainedRows.WithLabelValues(reasonAge).Add(float64(result.removed)) // a merge keeps all others
	s.metrics.compactionBytes.WithLabelValues("in").Add(float64(result.bytesIn))
	s.metrics.compactionBytes.WithLabelValues("out").Add(float64(result.bytesOut))
	s.logger.Debug("merged blocks", "blocks", len(j.in), "into", len(result.blocks), "level", j.to.level, "rows", result.rows,
		"bytes_in", result.bytesIn, "bytes_out", result.bytesOut, "took", time.Since(started))
	return true, nil
}

// room returns an error when the disk has not enough free space for the result of
// a merge beside what writes need.
func (s *Store) room(in []*block) error {
	need := s.cfg.MinFreeBytes
	for _, b := range in {
		need += 2 * b.info.bytes() // companions of flushed heads are new
	}
	free, err := s.cfg.freeBytes(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("free disk space: %w", err)
	}
	if free < uint64(need) { //nolint:gosec // not negative
		return fmt.Errorf("%w: %d MiB free, %d MiB are needed", errNoRoom, free>>20, need>>20)
	}
	return nil
}

var _ interface {
	store.Store
	Maintain(ctx context.Context) error
} = (*Store)(nil)
