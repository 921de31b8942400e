// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	sstblock "github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// definitionsBlock is how much of the definitions is compressed together.
const definitionsBlock = 32 << 10

// definitionsCompression is zstd at a level that is worth it: what is stored is written a few
// times and read for years.
var definitionsCompression = func() sstblock.CompressionProfile {
	p := *sstblock.ZstdCompression
	p.Name = "definitions"
	p.DataBlocks.Level = 7
	return p
}()

// openPebble opens the key-value store of definitions, which takes about so much
// memory: half of it caches blocks, and a quarter each are the memtable that is
// written to and the one that is being flushed.
func openPebble(dir string, fs vfs.FS, logger *slog.Logger, bytes int64) (*pebble.DB, error) {
	opts := &pebble.Options{
		FormatMajorVersion: metaFormat,
		Logger:             pebbleLogger{logger},
		FS:                 fs,
		MemTableSize:       uint64(min(max(bytes/4, 1<<20), 16<<20)), //nolint:gosec // positive
		CacheSize:          bytes / 2,
	}
	// Definitions repeat one another a lot, in names and in runs of frames, and are
	// looked up in the order of their keys by whoever wants many.
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		return pebble.UniformDBCompressionSettings(&definitionsCompression)
	})
	for i := range opts.Levels {
		opts.Levels[i].BlockSize = definitionsBlock
		// Almost every look-up of a definition is of one that may not be there.
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		opts.Levels[i].FilterType = pebble.TableFilter
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open definitions: %w", err)
	}
	return db, nil
}

// pebbleLogger passes what Pebble says on.
type pebbleLogger struct{ logger *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.logger.Enabled(context.Background(), slog.LevelDebug) {
		l.logger.Debug("pebble", "text", fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.logger.Error("pebble", "text", fmt.Sprintf(format, args...))
}

// Fatalf must not return: Pebble calls it when its memory and its disk may
// differ. Disks that are full or read-only do not lead here, see [patientFS].
// Ending the process is safe, since recovery after a crash loses nothing that
// was acknowledged.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.logger.Error("definitions cannot be written; ending so that a restart recovers", "text", fmt.Sprintf(format, args...))
	os.Exit(1)
}

// get returns a copy of the value of a key, nil when there is none.
func get(db *pebble.DB, key []byte) ([]byte, error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up definition: %w", err)
	}
	c := make([]byte, len(v))
	copy(c, v)
	return c, closer.Close()
}

// finder tells which keys have a value. Most of those that it is asked for are new, and
// [pebble.DB.Get] does not ask the filters of the last level, where nearly all keys are: it
// decompresses a block for each. A finder sees what was there when it was first asked, and is
// for one goroutine.
type finder struct {
	db *pebble.DB
	it *pebble.Iterator // nil before the first question
}

func (f *finder) has(key []byte) (_ bool, err error) {
	if f.it == nil {
		if f.it, err = f.db.NewIter(&pebble.IterOptions{UseL6Filters: true}); err != nil {
			return false, fmt.Errorf("look up definition: %w", err)
		}
	}
	found := f.it.SeekPrefixGE(key)
	if err := f.it.Error(); err != nil {
		return false, fmt.Errorf("look up definition: %w", err)
	}
	return found, nil // a prefix is a whole key
}

// close ends the finder.
func (f *finder) close() error {
	if f.it == nil {
		return nil
	}
	return f.it.Close()
}

// scan calls f with every entry whose key starts with prefix. The slices are
// only valid during the call.
func scan(db *pebble.DB, prefix []byte, f func(key, value []byte) error) (err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return fmt.Errorf("list definitions: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("list definitions: %w", err)
		}
		if err := f(it.Key(), v); err != nil {
			return err
		}
	}
	return it.Error()
}

// meta is what Pebble holds besides definitions and blocks.
type meta struct {
	epoch    [16]byte
	walFirst uint64
	// walOffset is how much of that segment is in blocks.
	walOffset int64
	expired   int64
	counts    defCounts
}

// defCounts are the numbers of definitions in all projects.
type defCounts struct{ stacks, symbols, executables, hosts int64 }

func (c *defCounts) encode() []byte {
	b := binary.AppendVarint(nil, c.stacks)
	b = binary.AppendVarint(b, c.symbols)
	b = binary.AppendVarint(b, c.executables)
	return binary.AppendVarint(b, c.hosts)
}

// loadMeta reads the meta, and writes it in a new directory.
func loadMeta(db *pebble.DB) (*meta, error) {
	format, err := get(db, []byte(keyFormat))
	if err != nil {
		return nil, err
	}
	if format == nil {
		m := &meta{expired: minExpired}
		return m, m.create(db)
	}
	f := formatOfMeta(format)
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.Format < formatWritten { // an older program must not open what this one is going to write
		if err := db.Set([]byte(keyFormat), []byte(strconv.Itoa(formatWritten)), pebble.Sync); err != nil {
			return nil, fmt.Errorf("raise format of data directory: %w", err)
		}
	}
	return readMeta(db)
}

// minExpired is the time of expiry of a store in which nothing ever expired.
const minExpired = math.MinInt64

// readMeta reads the meta.
func readMeta(db *pebble.DB) (*meta, error) {
	m := &meta{expired: minExpired}
	epoch, err := get(db, []byte(keyEpoch))
	if err != nil {
		return nil, err
	}
	if copy(m.epoch[:], epoch) != len(m.epoch) {
		return nil, fmt.Errorf("%w: epoch of %d bytes", errCodec, len(epoch))
	}
	for key, read := range map[string]func(*decoder){
		keyWALFirst: func(d *decoder) {
			m.walFirst = d.uvarint()
			if len(d.b) > 0 { // absent unless a head was cut in the middle of a segment
				m.walOffset = int64(min(d.uvarint(), math.MaxInt64)) //nolint:gosec // bounded
			}
		},
		keyExpired: func(d *decoder) { m.expired = d.varint() },
		keyCounts: func(d *decoder) {
			m.counts = defCounts{d.varint(), d.varint(), d.varint(), d.varint()}
		},
	} {
		v, err := get(db, []byte(key))
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		d := decoder{b: v}
		if read(&d); d.err != nil {
			return nil, d.err
		}
	}
	return m, nil
}

// encodeWALFirst encodes from where on the log is needed.
func encodeWALFirst(segment uint64, offset int64) []byte {
	b := binary.AppendUvarint(nil, segment)
	if offset > 0 {
		b = binary.AppendUvarint(b, uint64(offset))
	}
	return b
}

// create gives a new directory its identity.
func (m *meta) create(db *pebble.DB) error {
	_, _ = rand.Read(m.epoch[:]) // cannot fail
	b := db.NewBatch()
	err := errors.Join(
		b.Set([]byte(keyFormat), []byte(strconv.Itoa(formatWritten)), nil),
		b.Set([]byte(keyEpoch), m.epoch[:], nil),
		b.Commit(pebble.Sync),
	)
	if err != nil {
		return fmt.Errorf("create definitions: %w", err)
	}
	return nil
}
