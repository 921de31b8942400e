// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// FuzzLogRecord decodes any bytes as the two parts of a record, behind an intact one; what
// is read survives another round.
func FuzzLogRecord(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 1))
	l := newLogSegment(1)
	before := l.payload(mixed(r, 1), richBatch())
	for seq := range uint64(5) {
		tables, batches := parts(f, l.payload(mixed(r, 2+seq), richBatch()))
		f.Add(tables, batches)
	}
	f.Fuzz(func(t *testing.T, tables, batches []byte) {
		var first, second, third logRecord
		if err := first.decode(before, false); err != nil {
			t.Fatal(err)
		}
		hostile.Bound(t, len(tables)+len(batches)+4<<10, 64, func() {
			packed := s2.Encode(nil, tables)
			payload := append(binary.AppendUvarint(nil, uint64(len(packed))), packed...)
			if err := second.decode(append(payload, s2.Encode(nil, batches)...), false); err != nil {
				return
			}
			var known logTables
			if _, err := first.join(&known, func(*store.Batch) {}); err != nil {
				t.Fatal(err)
			}
			var got []*store.Batch
			if _, err := second.join(&known, func(b *store.Batch) { got = append(got, b) }); err != nil {
				return
			}
			for _, b := range got {
				if err := b.Check(); err != nil {
					t.Fatal(err)
				}
			}
			if err := third.decode(newLogSegment(1).payload(got...), false); err != nil {
				t.Fatalf("what was read cannot be written: %v", err)
			}
			i := 0
			lost, err := third.join(&logTables{}, func(b *store.Batch) {
				if d := cmp.Diff(fmt.Sprint(*got[i]), fmt.Sprint(*b)); d != "" {
					t.Fatal(d)
				}
				i++
			})
			if err != nil || lost != 0 || i != len(got) {
				t.Fatalf("%d of %d batches, %d samples lost: %v", i, len(got), lost, err)
			}
		})
	})
}

// parts returns the two parts of a payload.
func parts(tb testing.TB, payload []byte) (tables, batches []byte) {
	tb.Helper()
	d := decoder{b: payload}
	packed := d.bytes(d.uvarint())
	tables, err1 := s2.Decode(nil, packed)
	batches, err2 := s2.Decode(nil, d.b)
	if err := errors.Join(d.err, err1, err2); err != nil {
		tb.Fatal(err)
	}
	return tables, batches
}

// FuzzSegment replays any bytes as a segment of the log, and once more as the
// payload of an intact record behind another, and queries what came of it.
func FuzzSegment(f *testing.F) {
	r := rand.New(rand.NewPCG(6, 1))
	l := newLogSegment(0)
	var segment []byte
	for _, b := range []*store.Batch{testBatch(1, 3), richBatch(), mixed(r, 3), mixed(r, 4)} {
		record := l.record(b)
		segment = append(segment, record...)
		f.Add(record[recordHeader:])
	}
	f.Add(append([]byte(walMagic), segment...))
	f.Add(append([]byte(walMagic), segment[:len(segment)-3]...))
	f.Add(append([]byte(walMagic), segment[5:]...))
	f.Add(segment)
	f.Add([]byte(walMagic[:7]))
	f.Add(append([]byte{byte(len(s2.Encode(nil, nil)))}, append(s2.Encode(nil, nil), s2.Encode(nil, bytes.Repeat([]byte{0x80}, 1<<10))...)...))
	f.Add([]byte("\x05\xff\xff\xff\xff\x0f\xff\xff\xff\xff\x0f")) // S2 that declares 4 GiB
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, "wal")), os.MkdirAll(filepath.Join(dir, "wal"), 0o750)); err != nil {
			t.Fatal(err)
		}
		// What a record declares to unfold to is bounded by maxRecord alone: S2 packs zeros
		// without a bound. Only who can write the directory gets a record past its checksum.
		unfolded := 0
		d := decoder{b: data}
		for _, part := range [][]byte{d.bytes(d.uvarint()), d.b} {
			if n, err := s2.DecodedLen(part); err == nil && n <= maxRecord {
				unfolded += n
			}
		}
		if unfolded > 32<<20 {
			t.Skip("takes too much memory for a fuzzer")
		}
		s := memoryStore(t, dir)
		r := &replayer{dir: s.walDir(), logger: s.logger, metrics: s.metrics}
		r.apply = func(batches []*store.Batch, _ uint64, _ int64) error {
			for _, b := range batches {
				s.head.add(b)
			}
			return nil
		}
		defer r.start()()
		intact := newLogSegment(1).record(richBatch())
		// A head takes at least a chunk, and queries of it as much.
		hostile.Bound(t, len(data)+unfolded+4<<10, 256, func() {
			for n, content := range [][]byte{data, append(append([]byte(walMagic), intact...), sealed(1, data)...)} {
				if err := os.WriteFile(segmentPath(s.walDir(), uint64(n)), content, 0o640); err != nil {
					t.Fatal(err)
				}
				if err := r.segment(t.Context(), uint64(n), 0, n == 1); err != nil && !errors.Is(err, errWALFormat) {
					t.Fatalf("segment %d: %v", n, err)
				}
			}
			if err := selectAll(t, s); err != nil {
				t.Fatal(err)
			}
		})
	})
}
