// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// replayer reads log segments after a start, in bounded memory.
type replayer struct {
	dir     string
	logger  *slog.Logger
	metrics *metrics
	// apply takes the batches of a record and where that ends in the segment. It keeps
	// nothing of them.
	apply func(batches []*store.Batch, segment uint64, end int64) error

	memory []byte // of the reader of segments
	// records that were applied.
	records sync.Pool
	jobs    chan *replayed
	queue   []*replayed // in the order of the log, not applied yet
	queued  int         // bytes of their payloads
	// tables are what the segment said up to the queue, lost the samples that needed more.
	tables  logTables
	lost    int
	batches []*store.Batch // memory
}

// maxQueued bounds the payloads that are being decoded. In memory a batch is some thirty
// times as large.
const maxQueued = 256 << 10

// replayed is a record on its way through a decoder.
type replayed struct {
	pos, end int64
	payload  []byte
	// old says that the batches are in a block, so that only the tables are wanted.
	old    bool
	record *logRecord
	err    error
	done   chan struct{}
}

// start starts the decoders: reading the log is bound by them. The function
// returned ends them.
func (r *replayer) start() (stop func()) {
	r.jobs = make(chan *replayed, 64)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for j := range r.jobs {
				j.record, j.err = r.decode(j.payload, j.old)
				close(j.done)
			}
		})
	}
	return func() {
		close(r.jobs)
		wg.Wait()
	}
}

// drain applies the records in the queue, up to so many and their bytes.
func (r *replayer) drain(n uint64, in *segmentReader, leave, leaveBytes int) error {
	for len(r.queue) > leave || (len(r.queue) > 0 && r.queued > leaveBytes) {
		j := r.queue[0]
		r.queue = r.queue[1:]
		r.queued -= len(j.payload)
		<-j.done
		err := j.err
		r.batches = r.batches[:0]
		if err == nil {
			var lost int
			lost, err = j.record.join(&r.tables, func(b *store.Batch) { r.batches = append(r.batches, b) })
			r.lost += lost
		}
		switch {
		case err == nil && len(r.batches) > 0:
			if err := r.apply(r.batches, n, j.end); err != nil {
				return err
			}
		case err != nil && !j.old: // otherwise it was put aside when it was replayed
			r.logger.Error("log record does not decode", "segment", n, "offset", j.pos, "err", err)
			if err := r.quarantine(n, in, j.pos, j.end); err != nil {
				return err
			}
		}
		r.records.Put(j.record)
	}
	return nil
}

// segment hands every intact batch of a segment, from an offset on, to apply. Of what is
// before it takes the tables only. What does not read is never skipped in silence: an incomplete end of the last segment,
// which a crash in the middle of a write leaves, is cut off, logged and counted;
// anything else is copied to the quarantine, logged as an error and counted, and
// reading goes on at the next intact record.
func (r *replayer) segment(ctx context.Context, n uint64, from int64, last bool) (err error) {
	path := segmentPath(r.dir, n)
	in, err := openSegment(r.dir, n, r.memory)
	if err != nil {
		return fmt.Errorf("read log segment: %w", err)
	}
	defer func() {
		r.memory = in.keep
		err = errors.Join(err, in.close())
	}()
	pos, intact, err := in.start()
	if err != nil {
		return fmt.Errorf("read log segment %s: %w", path, err)
	}
	if !intact && pos > from {
		if err := r.quarantine(n, in, from, pos); err != nil {
			return err
		}
	}
	r.tables, r.lost = logTables{}, 0
	defer func() {
		if err == nil {
			err = r.drain(n, in, 0, 0)
		}
		for _, j := range r.queue { // after an error nobody waits for them
			<-j.done
		}
		r.queue, r.queued, r.tables = nil, 0, logTables{}
		if r.lost > 0 {
			r.metrics.walLost.Add(float64(r.lost))
			r.logger.Error("samples in intact records of the log are lost: their series or stacks were in damaged ones",
				"segment", n, "samples", r.lost)
		}
	}()
	for pos < in.size {
		if err := ctx.Err(); err != nil {
			return err
		}
		payload, size, ok, err := in.record(pos)
		if err != nil {
			return fmt.Errorf("read log segment: %w", err)
		}
		if ok {
			j := &replayed{
				pos: pos, end: pos + size, old: pos+size <= from, payload: append([]byte(nil), payload...), done: make(chan struct{}),
			}
			r.jobs <- j
			r.queue = append(r.queue, j)
			r.queued += len(payload)
			if err := r.drain(n, in, cap(r.jobs), maxQueued); err != nil {
				return err
			}
			pos += size
			continue
		}
		next, err := in.next(pos + 1)
		if err != nil {
			return fmt.Errorf("read log segment: %w", err)
		}
		if last && next == in.size {
			return r.tear(path, n, in.size, pos)
		}
		if next > from { // otherwise it was put aside when it was replayed
			if err := r.quarantine(n, in, max(pos, from), next); err != nil {
				return err
			}
		}
		pos = next
	}
	return nil
}

// decode reads the payload of a record.
func (r *replayer) decode(payload []byte, tablesOnly bool) (*logRecord, error) {
	record, ok := r.records.Get().(*logRecord)
	if !ok {
		record = &logRecord{}
	}
	return record, record.decode(payload, tablesOnly)
}

// tear cuts the incomplete end off a segment.
func (r *replayer) tear(path string, n uint64, size, pos int64) error {
	r.metrics.walTorn.Inc()
	r.logger.Warn("log ends in the middle of a record that was never acknowledged; cut off",
		"segment", n, "offset", pos, "bytes", size-pos)
	if err := os.Truncate(path, pos); err != nil {
		return fmt.Errorf("cut torn end off log segment: %w", err)
	}
	return nil
}

// quarantine keeps a copy of bytes that do not read.
func (r *replayer) quarantine(n uint64, in *segmentReader, from, to int64) error {
	r.metrics.walCorrupt.Inc()
	dir := filepath.Join(r.dir, "quarantine")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("create quarantine: %w", err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%010d-%d.bad", n, from))
	r.logger.Error("log is damaged; acknowledged samples may be lost",
		"segment", n, "offset", from, "bytes", to-from, "copy", path)
	if err := in.copyTo(path, from, to); err != nil {
		return fmt.Errorf("write quarantine: %w", err)
	}
	return nil
}
