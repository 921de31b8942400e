// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// row is what rows of one series differ in.
type row struct {
	stack              [16]byte
	time, count, value int64
	trace              [16]byte
	span               [8]byte
}

// blockOutput is what writing a block needs of a file; tests put faults in between.
type blockOutput interface {
	Write(b []byte) (int, error)
	Sync() error
	Close() error
}

// fileOps are the operations on files that change the directory of blocks; tests
// put faults in between.
type fileOps struct {
	create  func(path string) (blockOutput, error)
	rename  func(from, to string) error
	remove  func(path string) error
	syncDir func(dir string) error
}

// localFiles are the operations of the operating system.
func localFiles() fileOps {
	return fileOps{
		create:  func(path string) (blockOutput, error) { return os.Create(path) }, //nolint:gosec // in the data directory, by a number of ours
		rename:  os.Rename,
		remove:  os.Remove,
		syncDir: syncDir,
	}
}

// rowFile writes the rows of a block or of a companion as Parquet: series by
// series, each begun once.
type rowFile[R any] struct {
	ops      *fileOps
	path     string
	file     blockOutput
	buffered *bufio.Writer
	written  int64
	sums     summer
	// end collects what comes behind the pages, nil before that.
	end *bytes.Buffer
	w   *parquet.Writer //nolint:staticcheck // its rows have a schema and no Go type, which GenericWriter wants
	// describe returns the columns that all rows of a series share.
	describe func(*store.Series) (R, error)
	schema   *parquet.Schema
	// own are the numbers of the columns that rows differ in, -1 where there are none.
	own struct{ stack, time, count, value, trace, span int }

	// The values of some rows stay in buf, column by column, from write to write, and with
	// them what rows have in common: owner says which series' columns a row holds.
	buf     [][]parquet.Value
	owner   []int64
	hashes  []rowHashes
	filled  int
	series  int64
	fixed   parquet.Row
	alike   bool // the buffer has rows of one series
	inGroup int
	// minGroup and maxGroup bound the rows of a row group.
	minGroup, maxGroup int

	// ratio is that of value and count while it has been the same in all rows.
	ratio    int64
	hasRatio bool

	table            tableWriter
	entry            blockSeries
	rows             int64
	minTime, maxTime int64
}

// blockCodec compresses the pages of all files. They share it because it keeps its
// encoders, of a megabyte each: with its own, a small file costs more than its rows do.
var blockCodec compress.Codec = &zstd.Codec{Level: zstd.SpeedBetterCompression, Concurrency: 1}

// bufferedRows is how many rows are handed to the encoder at once.
const bufferedRows = 256

// rowHashes are the bytes that values of the buffer refer to.
type rowHashes struct {
	stack, trace [16]byte
	span         [8]byte
}

// newRowFile creates the file at a temporary path.
func newRowFile[R any](
	ops *fileOps, path string, describe func(*store.Series) (R, error), more ...parquet.WriterOption,
) (*rowFile[R], error) {
	f, err := ops.create(path)
	if err != nil {
		return nil, fmt.Errorf("create block: %w", err)
	}
	w := &rowFile[R]{
		ops: ops, path: path, file: f, describe: describe, owner: make([]int64, bufferedRows), hashes: make([]rowHashes, bufferedRows),
		minGroup: minGroupRows, maxGroup: maxGroupRows,
	}
	var tags []parquet.SchemaOption
	for _, o := range more {
		if tag, ok := o.(parquet.SchemaOption); ok {
			tags = append(tags, tag)
		}
	}
	w.schema = parquet.SchemaOf(new(R), tags...)
	column := func(name string) int {
		if leaf, ok := w.schema.Lookup(name); ok {
			return leaf.ColumnIndex
		}
		return -1
	}
	w.own.stack, w.own.time, w.own.count, w.own.value = column("stack"), column("time"), column("count"), column("value")
	w.own.trace, w.own.span = column("trace_id"), column("span_id")
	for range w.schema.Columns() {
		w.buf = append(w.buf, make([]parquet.Value, bufferedRows))
	}
	w.buffered = bufio.NewWriterSize(writerFunc(w.write), 256<<10)
	options := append(boundless(),
		parquet.Compression(blockCodec),
		parquet.PageBufferSize(pageBytes),
		parquet.CreatedBy("strobe", "1", ""),
		parquet.KeyValueMetadata("strobe.block", "1"),
	)
	options = append(options, more...)
	w.w = parquet.NewWriter(w.buffered, append(options, sharedSchema(w.schema, &w.alike))...) //nolint:staticcheck // see there
	return w, nil
}

// ratioKey names, in the footer, the number by which each count is to be multiplied
// to get the value: who knows it can do without that column.
const ratioKey = "strobe.value_per_count"

// writerFunc is a function that writes.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// newSampleFile creates a file of samples. seconds says that all times are whole
// seconds, as those of profiles that are summed up in windows are: see wideDelta.
func newSampleFile(ops *fileOps, path string, seconds bool) (*rowFile[blockRow], error) {
	var options []parquet.WriterOption
	if seconds {
		options = append(options, parquet.DefaultEncodingFor(parquet.Int64, &wideDelta{}), &parquet.StructTagOption{
			ColumnPath: []string{"Time"}, StructTag: `parquet:"time,timestamp(millisecond)"`,
		})
	}
	return newRowFile(ops, path, seriesRow, options...)
}

// flush hands the rows in the buffer to the encoder and may end the row group.
func (w *rowFile[R]) flush(endGroup bool) error {
	w.alike = w.filled > 0 && w.owner[0] == w.owner[w.filled-1]
	for i, c := range w.w.ColumnWriters() {
		if w.filled == 0 {
			break
		}
		if _, err := c.WriteRowValues(w.buf[i][:w.filled]); err != nil {
			return fmt.Errorf("write rows of block: %w", err)
		}
	}
	w.filled = 0
	if endGroup {
		if err := w.w.Flush(); err != nil {
			return fmt.Errorf("end row group of block: %w", err)
		}
		w.inGroup = 0
	}
	return nil
}

// begin says that the rows that follow are of a series, which comes behind those
// before in the order of series. Its texts must stay as they are until the next one.
func (w *rowFile[R]) begin(s *store.Series) error {
	if w.inGroup >= w.minGroup && s.Service != w.entry.series.Service {
		if err := w.flush(true); err != nil {
			return err
		}
	}
	w.endSeries()
	fixed, err := w.describe(s)
	if err != nil {
		return err
	}
	w.fixed = w.schema.Deconstruct(w.fixed[:0], &fixed)
	w.series++
	w.entry = blockSeries{series: *s}
	return nil
}

// endSeries enters the series in the table if it had rows.
func (w *rowFile[R]) endSeries() {
	e := &w.entry
	if e.rows == 0 {
		return
	}
	if w.rows == 0 {
		w.minTime, w.maxTime = e.minTime, e.maxTime
	}
	w.minTime, w.maxTime = min(w.minTime, e.minTime), max(w.maxTime, e.maxTime)
	w.rows += e.rows
	w.table.add(e)
	e.rows = 0
}

// add adds a row of the series.
func (w *rowFile[R]) add(r *row) error {
	if w.inGroup == w.maxGroup {
		if err := w.flush(true); err != nil {
			return err
		}
	}
	at := w.filled
	if w.owner[at] != w.series {
		w.owner[at] = w.series
		for i, v := range w.fixed {
			w.buf[i][at] = v
		}
	}
	h := &w.hashes[at]
	h.stack = r.stack
	w.buf[w.own.stack][at] = parquet.FixedLenByteArrayValue(h.stack[:])
	w.buf[w.own.time][at] = parquet.Int64Value(r.time)
	w.buf[w.own.count][at] = parquet.Int64Value(r.count)
	w.buf[w.own.value][at] = parquet.Int64Value(r.value)
	if w.own.trace >= 0 {
		h.trace, h.span = r.trace, r.span
		w.buf[w.own.trace][at] = parquet.FixedLenByteArrayValue(h.trace[:])
		w.buf[w.own.span][at] = parquet.FixedLenByteArrayValue(h.span[:])
	}
	if w.rows+w.entry.rows == 0 && r.count != 0 {
		w.ratio, w.hasRatio = r.value/r.count, true
	}
	w.hasRatio = w.hasRatio && r.value == r.count*w.ratio
	w.inGroup++
	e := &w.entry
	if e.rows == 0 {
		e.minTime, e.maxTime = r.time, r.time
	}
	e.minTime, e.maxTime = min(e.minTime, r.time), max(e.maxTime, r.time)
	e.rows++
	e.count += r.count
	e.value += r.value
	if w.filled++; w.filled == bufferedRows {
		return w.flush(false)
	}
	return nil
}

// write writes to the file, or keeps the end of it.
func (w *rowFile[R]) write(b []byte) (int, error) {
	if w.end != nil {
		return w.end.Write(b)
	}
	n, err := w.file.Write(b)
	w.written += int64(n)
	_, _ = w.sums.Write(b[:n]) // cannot fail
	return n, err
}

// writeEnd writes the rows that are left, and the footer.
func (w *rowFile[R]) writeEnd() error {
	if err := w.flush(w.inGroup > 0); err != nil {
		return err
	}
	if err := w.buffered.Flush(); err != nil {
		return err
	}
	if w.hasRatio {
		w.w.SetKeyValueMetadata(ratioKey, strconv.FormatInt(w.ratio, 10))
	}
	w.end = &bytes.Buffer{}
	if err := errors.Join(w.w.Close(), w.buffered.Flush()); err != nil {
		return err
	}
	end, err := withoutColumnIndex(w.end.Bytes())
	w.end = nil
	if err != nil {
		return err
	}
	_, err = w.write(end)
	return err
}

// finish makes the file durable under its temporary name.
func (w *rowFile[R]) finish() error {
	w.endSeries()
	err := w.writeEnd()
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("write block: %w", err)
	}
	err = w.file.Close()
	w.file = nil
	if err != nil {
		return fmt.Errorf("close block: %w", err)
	}
	return nil
}

// abandon removes the file unless it has got its name.
func (w *rowFile[R]) abandon() {
	if w == nil {
		return
	}
	if w.file != nil {
		_ = w.file.Close()
		w.file = nil
	}
	if w.path != "" {
		_ = w.ops.remove(w.path)
		w.path = ""
	}
}

// name gives the finished file its name. The directory is not synced yet.
func (w *rowFile[R]) name(path string) error {
	if err := w.ops.rename(w.path, path); err != nil {
		return fmt.Errorf("name block: %w", err)
	}
	w.path = ""
	return nil
}
