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

	"github.com/klauspost/compress/s2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// replayer reads log segments after a start, in bounded memory.
type replayer struct {
	dir     string
	logger  *slog.Logger
	metrics *metrics
	// apply takes a batch and where its record ends in the segment. It keeps nothing
	// of the batch.
	apply func(b *store.Batch, segment uint64, end int64) error

	memory []byte // of the reader of segments
	// batches that were applied.
	batches sync.Pool
	jobs    chan *replayed
	queue   []*replayed // in the order of the log, not applied yet
	queued  int         // bytes of their payloads
}

// maxQueued bounds the payloads that are being decoded. In memory a batch is some ten
// times as large.
const maxQueued = 1 << 20

// replayed is a record on its way through a decoder.
type replayed struct {
	pos, end int64
	payload  []byte
	batch    *store.Batch
	err      error
	done     chan struct{}
}

// start starts the decoders: reading the log is bound by them. The function
// returned ends them.
func (r *replayer) start() (stop func()) {
	r.jobs = make(chan *replayed, 64)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var raw []byte
			for j := range r.jobs {
				j.batch, j.err = r.decode(&raw, j.payload)
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
		if j.err == nil {
			if err := r.apply(j.batch, n, j.end); err != nil {
				return err
			}
			r.batches.Put(j.batch)
			continue
		}
		r.logger.Error("log record does not decode", "segment", n, "offset", j.pos, "err", j.err)
		if err := r.quarantine(n, in, j.pos, j.end); err != nil {
			return err
		}
	}
	return nil
}

// segment hands every intact batch of a segment, from an offset on, to apply. What
// does not read is never skipped in silence: an incomplete end of the last segment,
// which a crash in the middle of a write leaves, is cut off, logged and counted;
// anything else is copied to the quarantine, logged as an error and counted, and
// reading goes on at the next intact record.
func (r *replayer) segment(ctx context.Context, n uint64, from int64, last bool) (err error) {
	path := segmentPath(r.dir, n)
	in, err := openSegment(path, r.memory)
	if err != nil {
		return fmt.Errorf("read log segment: %w", err)
	}
	defer func() {
		r.memory = in.keep
		err = errors.Join(err, in.close())
	}()
	pos := int64(len(walMagic))
	switch magic, err := in.at(0, pos); {
	case err != nil:
		return fmt.Errorf("read log segment: %w", err)
	case int64(len(magic)) < pos && string(magic) == walMagic[:len(magic)]:
		return nil // the crash came while the segment was created
	case from > pos: // what is before is in a block
		pos = min(from, in.size)
	case int64(len(magic)) < pos || string(magic[:pos]) != walMagic:
		next, err := in.next(0)
		if err == nil {
			err = r.quarantine(n, in, 0, next)
		}
		if err != nil {
			return err
		}
		pos = next
	}
	defer func() {
		if err == nil {
			err = r.drain(n, in, 0, 0)
		}
		for _, j := range r.queue { // after an error nobody waits for them
			<-j.done
		}
		r.queue, r.queued = nil, 0
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
			j := &replayed{pos: pos, end: pos + size, payload: append([]byte(nil), payload...), done: make(chan struct{})}
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
		if err := r.quarantine(n, in, pos, next); err != nil {
			return err
		}
		pos = next
	}
	return nil
}

// decode reads a batch from the payload of a record, decompressing it into raw.
func (r *replayer) decode(raw *[]byte, payload []byte) (*store.Batch, error) {
	if n, err := s2.DecodedLen(payload); err != nil || n > maxRecord {
		return nil, fmt.Errorf("%w: log record that unfolds to %d bytes: %w", errCodec, n, err)
	}
	b, err := s2.Decode((*raw)[:cap(*raw)], payload)
	if err != nil {
		return nil, fmt.Errorf("decompress log record: %w", err)
	}
	if *raw = b; cap(b) > 1<<20 {
		*raw = nil
	}
	batch, ok := r.batches.Get().(*store.Batch)
	if !ok {
		batch = &store.Batch{}
	}
	return batch, decodeBatch(batch, b)
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
