// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// blockInfo is what the list of blocks says of one.
type blockInfo struct {
	Number  uint64 `json:"number"`
	File    string `json:"file"` // base name
	Rows    int64  `json:"rows"`
	Bytes   int64  `json:"bytes"`
	MinTime int64  `json:"min_time_ms"`
	MaxTime int64  `json:"max_time_ms"`
}

func (i *blockInfo) encode() ([]byte, error) { return json.Marshal(i) }

func decodeBlockInfo(b []byte) (*blockInfo, error) {
	var i blockInfo
	if err := json.Unmarshal(b, &i); err != nil {
		return nil, fmt.Errorf("read entry of list of blocks: %w", err)
	}
	// The file is opened and later removed: its name must not lead out of the directory.
	if i.File == "" || i.File != filepath.Base(i.File) || i.File == "." || i.File == ".." {
		return nil, fmt.Errorf("read entry of list of blocks: %w: %q is not the name of a file", errCodec, i.File)
	}
	if i.Rows < 0 || i.Bytes < 0 {
		return nil, fmt.Errorf("read entry of list of blocks: %w: %d rows in %d bytes", errCodec, i.Rows, i.Bytes)
	}
	return &i, nil
}

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

// encodeSeriesTable encodes the series of a block.
func encodeSeriesTable(table []blockSeries, enc *zstd.Encoder) []byte {
	b := binary.AppendUvarint(nil, uint64(len(table)))
	for i := range table {
		s := &table[i]
		b = appendSeries(b, &s.series)
		b = binary.AppendVarint(b, s.rows)
		b = binary.AppendVarint(b, s.count)
		b = binary.AppendVarint(b, s.value)
		b = binary.AppendVarint(b, s.minTime)
		b = binary.AppendVarint(b, s.maxTime-s.minTime)
	}
	return enc.EncodeAll(b, []byte{seriesTableVersion})
}

// decodeSeriesTable is the inverse of encodeSeriesTable.
func decodeSeriesTable(b []byte, dec *zstd.Decoder) ([]blockSeries, error) {
	if len(b) == 0 || b[0] != seriesTableVersion {
		return nil, fmt.Errorf("%w: series table of unknown version", errCodec)
	}
	raw, err := dec.DecodeAll(b[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("decompress series table: %w", err)
	}
	d := decoder{b: raw}
	table := make([]blockSeries, d.count(20))
	var row int64
	for i := range table {
		s := &table[i]
		s.series = d.series()
		s.firstRow, s.rows = row, d.varint()
		s.count = d.varint()
		s.value = d.varint()
		s.minTime = d.varint()
		s.maxTime = s.minTime + d.varint()
		if d.err == nil && (s.rows < 0 || s.rows > maxBlockRows-row || s.maxTime < s.minTime) {
			return nil, fmt.Errorf("%w: series table with %d rows from %d to %d", errCodec, s.rows, s.minTime, s.maxTime)
		}
		row += s.rows
	}
	if d.err != nil {
		return nil, d.err
	}
	return table, nil
}
