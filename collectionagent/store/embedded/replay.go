// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/s2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// replayer reads log segments after a start.
type replayer struct {
	dir     string
	logger  *slog.Logger
	metrics *metrics
}

// segment hands every intact batch of a segment to apply. What does not read is
// never skipped in silence: an incomplete end of the last segment, which a crash
// in the middle of a write leaves, is cut off, logged and counted; anything else
// is copied to the quarantine, logged as an error and counted, and reading goes
// on at the next intact record.
func (r *replayer) segment(n uint64, last bool, apply func(*store.Batch)) error {
	path := segmentPath(r.dir, n)
	data, err := os.ReadFile(path)
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
	for pos < len(data) {
		payload, size, ok := parseRecord(data[pos:])
		if ok {
			batch, err := r.decode(payload)
			if err == nil {
				apply(batch)
				pos += size
				continue
			}
			r.logger.Error("log record does not decode", "segment", n, "offset", pos, "err", err)
			if err := r.quarantine(n, data, pos, pos+size); err != nil {
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

// decode reads a batch from the payload of a record.
func (r *replayer) decode(payload []byte) (*store.Batch, error) {
	if n, err := s2.DecodedLen(payload); err != nil || n > maxRecord {
		return nil, fmt.Errorf("%w: log record that unfolds to %d bytes: %w", errCodec, n, err)
	}
	raw, err := s2.Decode(nil, payload)
	if err != nil {
		return nil, fmt.Errorf("decompress log record: %w", err)
	}
	return decodeBatch(raw)
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
