// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/klauspost/compress/s2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// replayer reads log segments after a start.
type replayer struct {
	dir     string
	logger  *slog.Logger
	metrics *metrics

	buffer []byte // of the segment being read, used again for the next
	// batches that were applied; apply keeps nothing of them.
	batches sync.Pool
	jobs    chan *replayed
	queue   []*replayed // in the order of the log, not applied yet
}

// replayed is a record on its way through a decoder.
type replayed struct {
	pos     int
	payload []byte
	batch   *store.Batch
	err     error
	done    chan struct{}
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

// drain applies the records in the queue, except for so many.
func (r *replayer) drain(n uint64, data []byte, leave int, apply func(*store.Batch)) error {
	for len(r.queue) > leave {
		j := r.queue[0]
		r.queue = r.queue[1:]
		<-j.done
		if j.err == nil {
			apply(j.batch)
			r.batches.Put(j.batch)
			continue
		}
		r.logger.Error("log record does not decode", "segment", n, "offset", j.pos, "err", j.err)
		if err := r.quarantine(n, data, j.pos, j.pos+recordHeader+len(j.payload)); err != nil {
			return err
		}
	}
	return nil
}

// readFile reads a file into the buffer.
func (r *replayer) readFile(path string) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if size := int(info.Size()); cap(r.buffer) < size {
		r.buffer = make([]byte, size)
	}
	data = r.buffer[:info.Size()]
	_, err = io.ReadFull(f, data)
	return data, err
}

// segment hands every intact batch of a segment to apply. What does not read is
// never skipped in silence: an incomplete end of the last segment, which a crash
// in the middle of a write leaves, is cut off, logged and counted; anything else
// is copied to the quarantine, logged as an error and counted, and reading goes
// on at the next intact record.
func (r *replayer) segment(n uint64, last bool, apply func(*store.Batch)) (err error) {
	path := segmentPath(r.dir, n)
	data, err := r.readFile(path)
	if err != nil {
		return fmt.Errorf("read log segment: %w", err)
	}
	pos := len(walMagic)
	if len(data) < pos && string(data) == walMagic[:len(data)] {
		return nil // the crash came while the segment was created
	}
	if len(data) < pos || string(data[:pos]) != walMagic {
		next := nextRecord(data, 0)
		if err := r.quarantine(n, data, 0, next); err != nil {
			return err
		}
		pos = next
	}
	defer func() { err = errors.Join(err, r.drain(n, data, 0, apply)) }()
	for pos < len(data) {
		payload, size, ok := parseRecord(data[pos:])
		if ok {
			j := &replayed{pos: pos, payload: payload, done: make(chan struct{})}
			r.jobs <- j
			r.queue = append(r.queue, j)
			if err := r.drain(n, data, cap(r.jobs), apply); err != nil {
				return err
			}
			pos += size
			continue
		}
		next := nextRecord(data, pos+1)
		if last && next == len(data) {
			return r.tear(path, n, data, pos)
		}
		if err := r.quarantine(n, data, pos, next); err != nil {
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

// nextRecord returns the offset of the first intact record at or after pos, or
// the length of data.
func nextRecord(data []byte, pos int) int {
	for pos < len(data) {
		i := bytes.Index(data[pos:], []byte(recordMark))
		if i < 0 {
			break
		}
		pos += i
		if _, _, ok := parseRecord(data[pos:]); ok {
			return pos
		}
		pos++
	}
	return len(data)
}

// tear cuts the incomplete end off a segment.
func (r *replayer) tear(path string, n uint64, data []byte, pos int) error {
	r.metrics.walTorn.Inc()
	r.logger.Warn("log ends in the middle of a record that was never acknowledged; cut off",
		"segment", n, "offset", pos, "bytes", len(data)-pos)
	if err := os.Truncate(path, int64(pos)); err != nil {
		return fmt.Errorf("cut torn end off log segment: %w", err)
	}
	return nil
}

// quarantine keeps a copy of bytes that do not read.
func (r *replayer) quarantine(n uint64, data []byte, from, to int) error {
	r.metrics.walCorrupt.Inc()
	dir := filepath.Join(r.dir, "quarantine")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("create quarantine: %w", err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%010d-%d.bad", n, from))
	r.logger.Error("log is damaged; acknowledged samples may be lost",
		"segment", n, "offset", from, "bytes", to-from, "copy", path)
	if err := os.WriteFile(path, data[from:to], 0o640); err != nil {
		return fmt.Errorf("write quarantine: %w", err)
	}
	return nil
}
