// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// richBatch returns a batch with a bit of everything.
func richBatch() *store.Batch {
	b := testBatch(2, 40)
	b.Series = append(b.Series, store.Series{
		Project: "default", Type: libpf.SampleOffCPU, Service: "shop", HostID: "h", Host: "alpha", Namespace: "n", Pod: "p",
		ContainerID: "c0ffee", Container: "c", Process: "java", Executable: "/bin/java", Comm: "main", PID: 7, ProcessStart: 8, TID: 9,
		Labels: []libpf.Label{{Key: "a", Value: "b"}, {Key: "c", Value: "d"}},
	})
	for i := range b.Samples {
		s := &b.Samples[i]
		s.Series = uint32(i % 2)
		s.Stack = libpf.NewTraceHash(uint64(i%5), 1)
		s.Count, s.Value = int64(1+i%3), int64(1000*i)
		if i%7 == 0 {
			s.TraceID, s.SpanID = [16]byte{1, byte(i)}, [8]byte{2}
		}
	}
	return b
}

// selectAll asks for everything in the ways that read different columns.
func selectAll(t *testing.T, s *Store) error {
	t.Helper()
	var errs error
	for _, q := range []store.Query{
		{ByStack: true},
		{TraceIDs: [][16]byte{{1}}, SpanIDs: [][8]byte{{1}}},
		{TraceIDs: [][16]byte{{}}, ByStack: true},
		{GroupBy: []string{"service", "comm"}},
		{Step: time.Minute},
		{Step: 1500 * time.Millisecond, ByStack: true, GroupBy: []string{"a"}},
	} {
		q.Project, q.From, q.To = "default", math.MinInt64, math.MaxInt64
		if q.Step > 0 { // as the API does, which bounds the number of steps
			q.From, q.To = libpf.UnixTimeNs(1_699_999_000e9), libpf.UnixTimeNs(1_700_001_000e9)
		}
		_, err := s.Select(t.Context(), &q, func(*store.Row) bool { return true })
		errs = errors.Join(errs, err)
		// Part of the time of each series, so that times are read.
		q.From, q.To = libpf.UnixTimeNs(1_700_000_000_003e6), libpf.UnixTimeNs(1_700_000_000_020e6)
		_, err = s.Select(t.Context(), &q, func(*store.Row) bool { return true })
		errs = errors.Join(errs, err)
		err = s.Samples(t.Context(), &q, func(*store.Sample, *store.Series) bool { return true })
		errs = errors.Join(errs, err)
	}
	q := &store.Query{Project: "default", From: math.MinInt64, To: math.MaxInt64}
	_, err1 := s.LabelNames(t.Context(), q)
	_, err2 := s.LabelValues(t.Context(), q, store.LabelSearch{Name: "service"})
	return errors.Join(errs, err1, err2)
}

// memoryStore returns a store with nothing behind it but what a query of a head or
// of a block needs.
func memoryStore(t testing.TB, dir string) *Store {
	t.Helper()
	cfg, err := Config{Dir: dir, MaxOpenBlocks: 10}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{cfg: cfg, logger: cfg.Logger, head: newHead(), expired: math.MinInt64}
	if s.metrics, err = newMetrics(cfg.Registerer, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// smallBlock writes a block into dir/blocks and returns its bytes.
func smallBlock(t testing.TB, dir string) (*blockInfo, []blockSeries, []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "blocks"), 0o750); err != nil {
		t.Fatal(err)
	}
	h := newHead()
	h.add(richBatch())
	ops := localFiles()
	info, encoded, err := writeBlock(&ops, filepath.Join(dir, "blocks"), 1, h.snapshot(), math.MinInt64)
	if err != nil {
		t.Fatal(err)
	}
	table, err := decodeTable(encoded)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "blocks", info.File))
	if err != nil {
		t.Fatal(err)
	}
	return info, table, data
}

// decodeTable returns the table that was written.
func decodeTable(w *tableWriter) ([]blockSeries, error) {
	r := tableReader{d: decoder{b: w.b}, left: int(w.n)}
	table := make([]blockSeries, w.n)
	for i := range table {
		if _, err := r.next(&table[i]); err != nil {
			return nil, err
		}
	}
	return table, nil
}

// queryBlock queries a block with other bytes than were written.
func queryBlock(t *testing.T, dir string, info blockInfo, table []blockSeries, data []byte) (panics float64, err error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "blocks", info.File), data, 0o640); err != nil {
		t.Fatal(err)
	}
	s := memoryStore(t, dir)
	info.Bytes = int64(len(data))
	b := s.newBlock(&info)
	b.loadTable = func(uint64) ([]blockSeries, error) { return table, nil }
	s.blocks = []*block{b}
	err = selectAll(t, s)
	b.kill()
	if b.openBytes() > 0 {
		t.Fatal("block stays open")
	}
	return counterOf(t, s.metrics.blockPanics), err
}

// blockFactor is how many bytes a query may allocate for each byte of a block.
const blockFactor = 4 << 10

func FuzzBlock(f *testing.F) {
	dir := f.TempDir()
	info, table, data := smallBlock(f, dir)
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		hostile.Bound(t, len(data), blockFactor, func() { _, _ = queryBlock(t, dir, *info, table, data) })
	})
}

// FuzzMerge reads any bytes as a block that is to be merged.
func FuzzMerge(f *testing.F) {
	dir := f.TempDir()
	info, table, data := smallBlock(f, dir)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRecord), zstd.WithDecoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	encoded := encodeSeriesTable(table, enc)
	f.Add(data, true)
	f.Add(data, false)
	f.Add(data[:len(data)/2], true)
	damaged := bytes.Clone(data)
	damaged[len(damaged)/3] ^= 0x40
	f.Add(damaged, true)
	f.Fuzz(func(t *testing.T, data []byte, sorted bool) {
		if err := os.WriteFile(filepath.Join(dir, "blocks", info.File), data, 0o640); err != nil {
			t.Fatal(err)
		}
		s := memoryStore(t, dir)
		s.zstdDec = dec
		changed := *info
		changed.Bytes, changed.Sorted = int64(len(data)), sorted
		b := s.newBlock(&changed)
		b.rawTable = func(uint64) ([]byte, error) { return encoded, nil }
		hostile.Bound(t, len(data), blockFactor, func() {
			rows, err := mergeAll(t, s, b)
			if err != nil && isBadBlock(err) != b {
				t.Fatalf("error %v is not of the block", err)
			}
			if err == nil && rows != info.Rows {
				t.Fatalf("%d rows without an error", rows)
			}
		})
	})
}

// mergeAll reads all rows of a block as a merge does.
func mergeAll(t *testing.T, s *Store, b *block) (rows int64, err error) {
	m, err := s.newMerger([]*block{b})
	if err != nil {
		return 0, err
	}
	defer m.close()
	for {
		series, err := m.nextSeries(t.Context())
		if err != nil || series == nil {
			return rows, err
		}
		for {
			r, err := m.nextRow()
			if err != nil {
				return rows, err
			}
			if r == nil {
				break
			}
			rows++
		}
	}
}

// TestDamagedBlock changes many bytes of a block, one at a time: queries end,
// with an answer or an error, and take little memory.
func TestDamagedBlock(t *testing.T) {
	dir := t.TempDir()
	info, table, data := smallBlock(t, dir)
	if panics, err := queryBlock(t, dir, *info, table, data); err != nil || panics > 0 {
		t.Fatalf("intact block: %v, %v panics", err, panics)
	}
	failed, panicked := 0, 0.0
	for at := 0; at < len(data); at += 1 + len(data)/often(len(data)/29) { // all bytes take a minute; FuzzBlock does more
		for _, change := range []func(byte) byte{
			func(b byte) byte { return b ^ 1<<(at%8) },
			func(byte) byte { return 0xff },
			func(b byte) byte { return b + 1 },
		} {
			damaged := bytes.Clone(data)
			damaged[at] = change(data[at])
			hostile.Bound(t, len(data), blockFactor, func() {
				panics, err := queryBlock(t, dir, *info, table, damaged)
				if panicked += panics; err != nil {
					failed++
				} else if panics > 0 {
					t.Errorf("byte %d: panic without an error", at)
				}
			})
			if t.Failed() {
				t.Fatalf("byte %d is %#x instead of %#x", at, damaged[at], data[at])
			}
		}
	}
	t.Logf("%d bytes: %d queries failed, %v by a panic", len(data), failed, panicked)
}

// FuzzSeriesTable reads any bytes as the table of a block, as they are and as the
// compressed content.
func FuzzSeriesTable(f *testing.F) {
	_, table, _ := smallBlock(f, f.TempDir())
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRecord), zstd.WithDecoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	encoded := encodeSeriesTable(table, enc)
	raw, err := dec.DecodeAll(encoded[1:], nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		if again, err := decodeSeriesTable(data, dec); err == nil {
			checkTable(t, again)
		}
		hostile.Bound(t, len(data), 64, func() {
			again, err := decodeSeriesTable(enc.EncodeAll(data, []byte{seriesTableVersion}), dec)
			if err == nil {
				checkTable(t, again)
			}
		})
	})
}

// checkTable checks what queries rely on.
func checkTable(t *testing.T, table []blockSeries) {
	t.Helper()
	row := int64(0)
	for i := range table {
		s := &table[i]
		if s.firstRow != row || s.rows < 0 || s.maxTime < s.minTime {
			t.Fatalf("series %d: rows %d to %d, times %d to %d", i, s.firstRow, s.firstRow+s.rows, s.minTime, s.maxTime)
		}
		row += s.rows
	}
}

// FuzzValue decodes any bytes as a value of each kind in Pebble; what decodes is
// the same after it was encoded again.
func FuzzValue(f *testing.F) {
	frames := []libpf.Frame{
		{Type: libpf.NativeFrame, FileID: libpf.NewFileID(1, 2), AddressOrLineno: 7},
		{Type: libpf.PythonFrame, FileID: libpf.NewFileID(3, 4), AddressOrLineno: 9, FunctionName: "fn", SourceFile: "a.py", SourceLine: 3},
	}
	symbol := store.Symbol{Lines: []libpf.SourceLine{{Function: "f", SystemName: "_Zf", File: "x.c", Line: 3, StartLine: 1}, {Function: "g"}}}
	info := blockInfo{Number: 3, File: "0003.parquet", Rows: 5, Bytes: 7, MinTime: 1, MaxTime: 2}
	entry, err := info.encode()
	if err != nil {
		f.Fatal(err)
	}
	for kind, value := range [][]byte{
		appendFrames(nil, frames),
		appendSymbol(nil, &symbol),
		entry,
		[]byte(`{"name":"alpha","last_seen":1700000000000000000,"metadata":{"kernel":"6.1"}}`),
		appendString(appendString(appendString(nil, "python3"), "abcd"), "python"),
		(&defCounts{stacks: 1, symbols: 2, executables: 3, hosts: 4}).encode(),
	} {
		f.Add(uint8(kind), value)
		f.Add(uint8(kind), value[:len(value)-1])
	}
	f.Add(uint8(0), appendFramesInFull(nil, frames))
	f.Add(uint8(2), []byte(`{"file":"../../etc/passwd"}`))
	f.Add(uint8(2), []byte(`{"number":7,"level":1,"project":"p","type":1,"rows":9,"min_time_ms":1,"max_time_ms":2,"sorted":true,`+
		`"sums":[{"kind":"1h","file":"a-1h.parquet","rows":3,"bytes":4},{"kind":"all","file":"a-all.parquet"}]}`))
	f.Add(uint8(2), []byte(`{"sums":[{"kind":"1m","file":"../x"}]}`))
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		hostile.Bound(t, len(data), 256, func() {
			var before, after any
			var err error
			switch kind % 6 {
			case 0:
				var v []libpf.Frame
				if v, err = decodeFrames(data); err == nil {
					before = v
					after, err = decodeFrames(appendFrames(nil, v))
				}
			case 1:
				var s store.Symbol
				if s.Fallback, s.Lines, err = decodeSymbol(data); err == nil {
					before = s.Lines
					_, after, err = decodeLines(appendSymbol(nil, &s))
				}
			case 2:
				var v *blockInfo
				if v, err = decodeBlockInfo(data); err == nil {
					for _, name := range v.files() {
						if filepath.Dir(filepath.Join("/blocks", name)) != "/blocks" {
							t.Fatalf("name %q leads elsewhere", name)
						}
					}
				}
			case 3:
				_, err = decodeHost("h", data)
			case 4:
				_, err = decodeExecutable(libpf.FileID{}, data)
			case 5:
				d := decoder{b: data}
				before = defCounts{d.varint(), d.varint(), d.varint(), d.varint()}
				after = before
			}
			if d := cmp.Diff(fmt.Sprint(before), fmt.Sprint(after)); err == nil && d != "" {
				t.Fatalf("kind %d does not survive (-before +after):\n%s", kind%6, d)
			}
		})
	})
}

// decodeLines is decodeSymbol with a result of type any.
func decodeLines(b []byte) (bool, any, error) {
	fallback, lines, err := decodeSymbol(b)
	return fallback, lines, err
}
