// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// blockInfo is what the list of blocks says of one.
type blockInfo struct {
	Number uint64 `json:"number"`
	// Level is 0 for a flushed head, which has samples of everything that came at
	// the time, and the number of the width of its window for a compacted block,
	// which is of one project and type.
	Level   int              `json:"level,omitempty"`
	Project string           `json:"project,omitempty"`
	Type    libpf.SampleType `json:"type,omitempty"`
	// File is the base name of the file of samples, "" when they have been dropped.
	File  string `json:"file,omitempty"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
	// TableBytes is the size of the series table in memory; 0 in entries of format 1.
	TableBytes int64 `json:"table_bytes,omitempty"`
	MinTime    int64 `json:"min_time_ms"`
	MaxTime    int64 `json:"max_time_ms"`
	// Sorted says that the rows of a series are sorted by stack and time. In blocks
	// of format 1 the order of stacks is that in which they came.
	Sorted bool `json:"sorted,omitempty"`
	// Sum holds the checksums of File; blocks of older versions have none.
	Sum *fileSum `json:"sum,omitempty"`
	// Remote says that the files are in object storage and not in the directory.
	Remote bool `json:"remote,omitempty"`
	// Sums are the companions that a compacted block has.
	Sums []sumsInfo `json:"sums,omitempty"`
}

// sumsInfo describes a companion of a block: sums of its rows.
type sumsInfo struct {
	Kind  sumsKind `json:"kind"`
	File  string   `json:"file"` // base name
	Rows  int64    `json:"rows"`
	Bytes int64    `json:"bytes"`
	Sum   *fileSum `json:"sum,omitempty"`
}

// sumsKind says what a companion keeps apart.
type sumsKind string

// Kinds of companions. Those by time know service, host and host ID; the totals
// of the whole block only know the service. Those by second do not know the stack, and go
// with the samples.
const (
	sumsSeconds sumsKind = "1s"
	sumsMinutes sumsKind = "1m"
	sumsHours   sumsKind = "1h"
	sumsTotals  sumsKind = "all"
)

// width returns the width in ms of the times of a companion, 0 for totals.
func (k sumsKind) width() int64 {
	switch k {
	case sumsSeconds:
		return time.Second.Milliseconds()
	case sumsMinutes:
		return store.RollUpMinute.Milliseconds()
	case sumsHours:
		return store.RollUpHour.Milliseconds()
	}
	return 0
}

// valid reports whether there is such a kind.
func (k sumsKind) valid() bool {
	return k == sumsSeconds || k == sumsMinutes || k == sumsHours || k == sumsTotals
}

// files lists the files of the block.
func (i *blockInfo) files() []string {
	var names []string
	if i.File != "" {
		names = append(names, i.File)
	}
	for _, c := range i.Sums {
		names = append(names, c.File)
	}
	return names
}

// fileInfo describes one file of a block.
type fileInfo struct {
	name  string
	kind  sumsKind // "" for samples
	rows  int64
	bytes int64
	sum   *fileSum // nil when there is none
}

// fileInfos describes the files of the block.
func (i *blockInfo) fileInfos() []fileInfo {
	var files []fileInfo
	if i.File != "" {
		files = append(files, fileInfo{name: i.File, rows: i.Rows, bytes: i.Bytes, sum: i.Sum})
	}
	for _, c := range i.Sums {
		files = append(files, fileInfo{name: c.File, kind: c.Kind, rows: c.Rows, bytes: c.Bytes, sum: c.Sum})
	}
	return files
}

// bytes returns the size of all files of the block.
func (i *blockInfo) bytes() int64 {
	n := i.Bytes
	for _, c := range i.Sums {
		n += c.Bytes
	}
	return n
}

func (i *blockInfo) encode() ([]byte, error) { return json.Marshal(i) }

func decodeBlockInfo(b []byte) (*blockInfo, error) {
	var i blockInfo
	if err := json.Unmarshal(b, &i); err != nil {
		return nil, fmt.Errorf("read entry of list of blocks: %w", err)
	}
	if len(i.files()) == 0 {
		return nil, fmt.Errorf("read entry of list of blocks: %w: block %d has no file", errCodec, i.Number)
	}
	// The files are opened and later removed: their names must not lead out of the directory.
	for _, name := range i.files() {
		if name == "" || name != filepath.Base(name) || name == "." || name == ".." {
			return nil, fmt.Errorf("read entry of list of blocks: %w: %q is not the name of a file", errCodec, name)
		}
	}
	if i.Rows < 0 || i.Bytes < 0 || i.TableBytes < 0 || i.Level < 0 || i.Level > maxLevel {
		return nil, fmt.Errorf("read entry of list of blocks: %w: %d rows in %d bytes at level %d", errCodec, i.Rows, i.Bytes, i.Level)
	}
	for _, f := range i.fileInfos() {
		if !f.sum.valid(f.bytes) {
			return nil, fmt.Errorf("read entry of list of blocks: %w: checksums do not fit the size of %s", errCodec, f.name)
		}
		if i.Remote && f.sum == nil {
			return nil, fmt.Errorf("read entry of list of blocks: %w: %s is in object storage and has no checksums", errCodec, f.name)
		}
	}
	for n, c := range i.Sums {
		if c.Rows < 0 || c.Bytes < 0 || !c.Kind.valid() {
			return nil, fmt.Errorf("read entry of list of blocks: %w: companion %q with %d rows in %d bytes", errCodec, c.Kind, c.Rows, c.Bytes)
		}
		for _, other := range i.Sums[:n] {
			if other.Kind == c.Kind {
				return nil, fmt.Errorf("read entry of list of blocks: %w: two companions %q", errCodec, c.Kind)
			}
		}
	}
	return &i, nil
}

// maxLevel is the highest level that an entry may have.
const maxLevel = 15

// blockSeries describes the rows of one series in a block. The rows of a block
// are sorted by series, so they lie behind those of the series before.
type blockSeries struct {
	series           store.Series
	firstRow, rows   int64
	count, value     int64 // sums
	minTime, maxTime int64 // ms
}

// maxBlockRows is more rows than a block ever has: a head has to fit in memory.
const maxBlockRows = 1 << 40

// seriesTableVersion is the first byte of an encoded table of series.
const seriesTableVersion = 1

// tableWriter encodes the table of a block while its rows are written.
type tableWriter struct {
	b []byte
	n uint64
}

func (w *tableWriter) add(s *blockSeries) {
	w.b = appendSeries(w.b, &s.series)
	w.b = binary.AppendVarint(w.b, s.rows)
	w.b = binary.AppendVarint(w.b, s.count)
	w.b = binary.AppendVarint(w.b, s.value)
	w.b = binary.AppendVarint(w.b, s.minTime)
	w.b = binary.AppendVarint(w.b, s.maxTime-s.minTime)
	w.n++
}

// encode returns the encoded table.
func (w *tableWriter) encode(enc *zstd.Encoder) []byte {
	b := binary.AppendUvarint(make([]byte, 0, len(w.b)+10), w.n)
	return enc.EncodeAll(append(b, w.b...), []byte{seriesTableVersion})
}

// encodeSeriesTable encodes the series of a block.
func encodeSeriesTable(table []blockSeries, enc *zstd.Encoder) []byte {
	var w tableWriter
	for i := range table {
		w.add(&table[i])
	}
	return w.encode(enc)
}

// tableReader decodes a table one series at a time.
type tableReader struct {
	d    decoder
	left int
	row  int64
}

func newTableReader(b []byte, dec *zstd.Decoder) (*tableReader, error) {
	if len(b) == 0 || b[0] != seriesTableVersion {
		return nil, fmt.Errorf("%w: series table of unknown version", errCodec)
	}
	raw, err := dec.DecodeAll(b[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("decompress series table: %w", err)
	}
	r := &tableReader{d: decoder{b: raw}}
	r.left = r.d.count(20)
	return r, r.d.err
}

// next decodes the next series. ok is false behind the last one.
func (r *tableReader) next(s *blockSeries) (ok bool, err error) {
	if r.left == 0 {
		return false, nil
	}
	r.left--
	s.series = r.d.series()
	s.firstRow, s.rows = r.row, r.d.varint()
	s.count = r.d.varint()
	s.value = r.d.varint()
	s.minTime = r.d.varint()
	s.maxTime = s.minTime + r.d.varint()
	if r.d.err != nil {
		return false, r.d.err
	}
	if s.rows < 0 || s.rows > maxBlockRows-r.row || s.maxTime < s.minTime {
		return false, fmt.Errorf("%w: series table with %d rows from %d to %d", errCodec, s.rows, s.minTime, s.maxTime)
	}
	r.row += s.rows
	return true, nil
}

// decodeSeriesTable is the inverse of encodeSeriesTable.
func decodeSeriesTable(b []byte, dec *zstd.Decoder) ([]blockSeries, error) {
	r, err := newTableReader(b, dec)
	if err != nil {
		return nil, err
	}
	table := make([]blockSeries, r.left)
	for i := range table {
		if _, err := r.next(&table[i]); err != nil {
			return nil, err
		}
	}
	return table, nil
}
