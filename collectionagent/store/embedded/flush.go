// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// flushJob is a head to write, with what has to become durable together with it.
type flushJob struct {
	head     *head
	windows  []windowUpdate
	walFirst uint64
	// walOffset is how much of the first log segment is not needed any more.
	walOffset int64
}

// flushLoop is the flusher. It ends when the jobs are closed and done.
func (s *Store) flushLoop() {
	for job := range s.flushJobs {
		s.flushRetrying(job)
	}
}

// flushRetrying writes a head, again and again until it works or the store is closed.
func (s *Store) flushRetrying(job flushJob) {
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 10*time.Second) {
		err := s.flush(job)
		if err == nil {
			s.guard.set(causeFlush, "")
			return
		}
		s.guard.set(causeFlush, err.Error())
		if s.closed.Load() {
			s.logger.Error("samples stay in the log until the next start", "err", err)
			close(s.gaveUp)
			return
		}
		select {
		case <-time.After(delay):
		case <-s.stop:
		}
	}
}

// flush writes a head as a block and makes it the block that counts.
func (s *Store) flush(job flushJob) (err error) {
	started := time.Now()
	defer func() {
		outcome := "ok"
		if err != nil {
			outcome = "error"
		}
		s.metrics.flushes.WithLabelValues(outcome).Inc()
		s.metrics.flushSeconds.Observe(time.Since(started).Seconds())
	}()
	s.listMu.Lock()
	defer s.listMu.Unlock()
	_, _, expired := s.readView()
	number := s.nextBlock.Add(1)
	info, table, err := writeBlock(&s.cfg.files, s.blocksDir(), number, job.head.snapshot(), expired)
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	err = errors.Join(
		writeWindows(b, job.windows),
		b.Set([]byte(keyWALFirst), encodeWALFirst(job.walFirst, job.walOffset), nil),
	)
	if info != nil {
		entry, encodeErr := info.encode()
		err = errors.Join(err, encodeErr,
			b.Set(blockKey(keyBlock, number), entry, nil),
			b.Set(tableKey(number, ""), table.encode(s.zstdEnc), nil))
	}
	if err == nil {
		err = s.commitList(context.Background(), s.closed.Load, b)
	}
	if err != nil {
		return fmt.Errorf("list block: %w", err)
	}
	s.viewMu.Lock()
	if info != nil {
		s.blocks = append(s.blocks, s.newBlock(info))
		s.metrics.flushedRows.Add(float64(info.Rows))
	}
	if s.old == job.head {
		s.old = nil
		close(s.oldDone)
		s.oldDone = nil
	}
	s.viewMu.Unlock()
	s.noteBacklog()
	select {
	case s.flushed <- struct{}{}:
	default: // merging is about to look anyway
	}
	if err := removeSegments(s.walDir(), job.walFirst); err != nil {
		s.logger.Warn("old log segments stay until the next start", "err", err)
	}
	if info != nil {
		s.logger.Debug("wrote block", "file", info.File, "rows", info.Rows, "bytes", info.Bytes, "took", time.Since(started))
	}
	return nil
}

// watchLoop looks at the disk and keeps trying whether the log can be written
// again after it could not.
func (s *Store) watchLoop() {
	tick := time.NewTicker(s.cfg.checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.checkSpace()
			s.probeLog()
			if s.defsMu.TryLock() { // it is held while Pebble waits for the disk
				s.defWindows.expire(s.now())
				s.defsMu.Unlock()
			}
		case <-s.stop:
			return
		}
	}
}

// probeLog finds out whether the log can be written again after it could not.
func (s *Store) probeLog() {
	if !s.guard.has(causeLog) {
		return
	}
	path := filepath.Join(s.walDir(), "probe")
	_ = os.Remove(path) // of the time before
	f, err := s.cfg.createSegment(path)
	if err != nil {
		return
	}
	_, err = f.Write(make([]byte, 64<<10))
	if err = errors.Join(err, f.Sync(), f.Close(), os.Remove(path)); err == nil {
		s.guard.set(causeLog, "")
	}
}

// Close implements [store.Store]: it writes the head as a block.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.quit()
	s.users.Lock() // wait for those who are inside
	close(s.requests)
	s.users.Unlock()
	close(s.stop)
	s.done.Wait()
	return s.release()
}

// release gives back what open took. While Pebble waits for the disk that
// happens once the wait is over; everything that was acknowledged is on the disk
// already.
func (s *Store) release() error {
	s.quit()
	done := make(chan outcome, 1)
	go func() { done <- outcome{err: s.releaseAll()} }()
	if _, err := s.awaitDone(context.Background(), always, done); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// releaseAll gives everything back, however long that takes.
func (s *Store) releaseAll() (err error) {
	s.writes.Wait()
	for _, b := range s.blocks {
		b.kill()
	}
	if s.wal != nil && s.wal.file != nil {
		_, err = s.wal.rotate()
	}
	s.closeObjects()
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	if s.zstdEnc != nil {
		err = errors.Join(err, s.zstdEnc.Close())
	}
	if s.zstdDec != nil {
		s.zstdDec.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, unlockDir(s.lock))
	}
	return err
}

// Stats implements [store.Store].
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	if err := s.enter(); err != nil {
		return store.Stats{}, err
	}
	defer s.users.RUnlock()
	heads, blocks, expired := s.readView()
	st := store.Stats{Engine: "embedded", Bytes: map[string]int64{}, Limit: s.byteLimit.Load()}
	bound := func(minTime, maxTime int64) {
		minTime = max(minTime, expired)
		if maxTime < minTime {
			return
		}
		oldest := libpf.UnixTimeNs(minTime * int64(store.Resolution))
		newest := libpf.UnixTimeNs(maxTime * int64(store.Resolution))
		if st.Oldest == 0 || oldest < st.Oldest {
			st.Oldest = oldest
		}
		st.Newest = max(st.Newest, newest)
	}
	for _, h := range heads {
		if v := h.snapshot(); v.rows > 0 {
			st.Samples += int64(v.rows)
			bound(v.minTime, v.maxTime)
		}
	}
	for _, b := range blocks {
		st.Samples += b.info.Rows
		if b.info.Remote {
			st.Bytes["objects"] += b.info.bytes()
		} else {
			st.Bytes["blocks"] += b.info.bytes()
		}
		if b.info.File != "" {
			bound(b.info.MinTime, b.info.MaxTime)
		}
	}
	for _, part := range []string{"wal", "meta"} {
		n, err := dirBytes(filepath.Join(s.cfg.Dir, part))
		if err != nil {
			return st, err
		}
		st.Bytes[part] = n
	}
	c := s.counts.Load()
	st.Stacks, st.Symbols, st.Executables, st.Hosts = c.stacks, c.symbols, c.executables, c.hosts
	return st, ctx.Err()
}

// dirBytes returns the size of the files in a directory.
func dirBytes(dir string) (int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", dir, err)
	}
	var n int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() { // it may be gone by now
			n += info.Size()
		}
	}
	return n, nil
}
