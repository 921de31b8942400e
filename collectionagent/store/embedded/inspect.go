// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// Inspection says what a store consists of.
type Inspection struct {
	Format string `json:"format"`
	Epoch  string `json:"epoch"`
	// Expired is the time before which nothing is visible, nil when nothing expired.
	Expired     *time.Time      `json:"expired,omitempty"`
	Blocks      []InspectBlock  `json:"blocks"`
	Log         []InspectLog    `json:"log"`
	Definitions InspectDefined  `json:"definitions"`
	Windows     InspectWindows  `json:"windows"`
	Totals      InspectedTotals `json:"totals"`
}

// InspectBlock describes a block.
type InspectBlock struct {
	Number     uint64        `json:"number"`
	Level      int           `json:"level"`
	Project    string        `json:"project,omitempty"` // "" at level 0, which has all
	Type       string        `json:"type,omitempty"`
	From       time.Time     `json:"from"`
	To         time.Time     `json:"to"` // of the last sample
	Rows       int64         `json:"rows"`
	Series     int           `json:"series"`
	Bytes      int64         `json:"bytes"` // with companions
	Where      string        `json:"where"` // "disk" or "objects"
	Checksums  bool          `json:"checksums"`
	File       string        `json:"file,omitempty"`
	Companions []InspectSums `json:"companions,omitempty"`
}

// InspectSums describes a companion of a block.
type InspectSums struct {
	Kind  string `json:"kind"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
	File  string `json:"file"`
}

// InspectLog describes a segment of the log.
type InspectLog struct {
	Segment uint64 `json:"segment"`
	Bytes   int64  `json:"bytes"`
}

// InspectDefined counts definitions.
type InspectDefined struct {
	Stacks      int64 `json:"stacks"`
	Symbols     int64 `json:"symbols"`
	Executables int64 `json:"executables"`
	Hosts       int64 `json:"hosts"`
}

// InspectWindows counts the sequences of batches that are remembered.
type InspectWindows struct {
	Samples     int `json:"samples"`
	Definitions int `json:"definitions"`
}

// InspectedTotals sums the blocks up.
type InspectedTotals struct {
	Rows        int64 `json:"rows"`
	DiskBytes   int64 `json:"disk_bytes"`
	ObjectBytes int64 `json:"object_bytes"`
}

// offline is a store of which only the files are read. Its background work and its
// log are not there.
func offline(dir string, bucket objects.Bucket) (_ *Store, err error) {
	cfg, err := Config{Dir: dir, Objects: bucket, ObjectCacheBytes: 64 << 20, objectCacheDir: os.TempDir()}.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, logger: slog.New(slog.DiscardHandler), head: newHead()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeOffline())
		}
	}()
	if _, err := os.Stat(filepath.Join(dir, "meta")); err != nil {
		return nil, fmt.Errorf("%s is not the data directory of a store, nor a backup: %w", dir, err)
	}
	if _, err := readFormat(dir); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(prometheus.NewRegistry(), s); err != nil {
		return nil, err
	}
	if s.zstdDec, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRecord)); err != nil {
		return nil, fmt.Errorf("create decompressor: %w", err)
	}
	s.db, err = pebble.Open(filepath.Join(dir, "meta"), &pebble.Options{
		ReadOnly: true, FormatMajorVersion: metaFormat, Logger: pebbleLogger{s.logger}, FS: vfs.Default, ErrorIfNotExists: true,
	})
	if err != nil {
		return nil, fmt.Errorf("open definitions: %w", err)
	}
	if err := s.openObjects(); err != nil || s.remote == nil {
		return s, err
	}
	id, err := get(s.db, []byte(keyOwner))
	s.remote.owner.id = hex.EncodeToString(id)
	return s, err
}

func (s *Store) closeOffline() (err error) {
	for _, b := range s.blocks {
		b.kill()
	}
	s.closeObjects()
	if s.db != nil {
		err = s.db.Close()
	}
	if s.zstdDec != nil {
		s.zstdDec.Close()
	}
	return err
}

// lockOffline takes the lock of a data directory, so that no server runs in it. A
// backup has none and needs none.
func lockOffline(dir string) (unlock func() error, err error) {
	if _, err := os.Stat(filepath.Join(dir, "LOCK")); err != nil {
		return func() error { return nil }, nil
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	return func() error { return unlockDir(lock) }, nil
}

// InspectDir says what the store in a directory consists of. No server may run on
// it; it may be a backup.
func InspectDir(ctx context.Context, dir string) (_ *Inspection, err error) {
	unlock, err := lockOffline(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	s, err := offline(dir, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.closeOffline()) }()
	return s.inspect(ctx)
}

// Inspect says what the store consists of.
func (s *Store) Inspect(ctx context.Context) (*Inspection, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.users.RUnlock()
	return s.inspect(ctx)
}

func (s *Store) inspect(ctx context.Context) (*Inspection, error) {
	format, err := get(s.db, []byte(keyFormat))
	if err != nil {
		return nil, err
	}
	m, err := readMeta(s.db)
	if err != nil {
		return nil, err
	}
	i := &Inspection{Format: string(format), Epoch: hex.EncodeToString(m.epoch[:]), Blocks: []InspectBlock{}, Log: []InspectLog{}}
	if m.expired > minExpired {
		t := time.UnixMilli(m.expired).UTC()
		i.Expired = &t
	}
	i.Definitions = InspectDefined{Stacks: m.counts.stacks, Symbols: m.counts.symbols, Executables: m.counts.executables, Hosts: m.counts.hosts}
	err = scan(s.db, []byte{keyBlock}, func(_, value []byte) error {
		info, err := decodeBlockInfo(value)
		if err != nil {
			return err
		}
		b, err := s.inspectBlock(info)
		if err != nil {
			return err
		}
		i.Blocks = append(i.Blocks, *b)
		i.Totals.Rows += b.Rows
		if info.Remote {
			i.Totals.ObjectBytes += b.Bytes
		} else {
			i.Totals.DiskBytes += b.Bytes
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(i.Blocks, func(a, b InspectBlock) int { return a.From.Compare(b.From) })
	for kind, n := range map[byte]*int{windowSamples: &i.Windows.Samples, windowDefinitions: &i.Windows.Definitions} {
		err := scan(s.db, []byte{keyWindow, kind}, func(_, _ []byte) error { *n++; return nil })
		if err != nil {
			return nil, err
		}
	}
	numbers, err := listSegments(s.walDir())
	if err != nil && !errors.Is(err, os.ErrNotExist) { // a backup may have none
		return nil, err
	}
	for _, n := range numbers {
		if info, err := os.Stat(segmentPath(s.walDir(), n)); err == nil { // else it is gone by now
			i.Log = append(i.Log, InspectLog{Segment: n, Bytes: info.Size()})
		}
	}
	return i, nil
}

// inspectBlock describes a block.
func (s *Store) inspectBlock(info *blockInfo) (*InspectBlock, error) {
	b := &InspectBlock{
		Number: info.Number, Level: info.Level, Project: info.Project, File: info.File, Rows: info.Rows, Bytes: info.bytes(),
		From: time.UnixMilli(info.MinTime).UTC(), To: time.UnixMilli(info.MaxTime).UTC(), Where: "disk", Checksums: true,
	}
	if info.Level > 0 {
		b.Type = info.Type.String()
	}
	if info.Remote {
		b.Where = "objects"
	}
	for _, f := range info.fileInfos() {
		b.Checksums = b.Checksums && f.sum != nil
		if f.kind != "" {
			b.Companions = append(b.Companions, InspectSums{Kind: string(f.kind), Rows: f.rows, Bytes: f.bytes, File: f.name})
		}
	}
	raw, err := get(s.db, tableKey(info.Number, s.newBlock(info).finest().kind))
	if err != nil {
		return nil, err
	}
	if table, err := newTableReader(raw, s.zstdDec); err == nil { // verify says what is wrong with one
		b.Series = table.left
	}
	return b, nil
}
