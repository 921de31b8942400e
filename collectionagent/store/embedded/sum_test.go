// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestSum finds a change of any one byte, wherever the sizes of writes and pieces fall.
func TestSum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 3*pieceBytes + 77} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		var s summer
		for rest := data; len(rest) > 0; {
			n := min(1+rnd.IntN(pieceBytes), len(rest))
			_, _ = s.Write(rest[:n])
			rest = rest[n:]
		}
		sum := s.sum()
		if !sum.valid(int64(size)) || sum.valid(int64(size)+pieceBytes) {
			t.Errorf("%d bytes: %d pieces", size, len(sum.Pieces)/4)
		}
		if err := checkSum(bytes.NewReader(data), int64(size), sum); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if size == 0 {
			continue
		}
		data[rnd.IntN(size)] ^= 1
		if err := checkSum(bytes.NewReader(data), int64(size), sum); !errors.Is(err, errSum) {
			t.Errorf("%d bytes, one changed: %v", size, err)
		}
		if err := checkSum(bytes.NewReader(data[1:]), int64(size), sum); !errors.Is(err, errSum) {
			t.Errorf("%d bytes, one missing: %v", size, err)
		}
	}
}

// TestBlockSums compares what the list of blocks says of every file, flushed or
// merged, with its bytes, and reads an entry of a version without checksums.
func TestBlockSums(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	mustAppend(t, s, testBatch(1, 5000))
	check := func(s *Store) {
		t.Helper()
		_, blocks, _ := s.readView()
		if len(blocks) == 0 {
			t.Fatal("no blocks")
		}
		for _, b := range blocks {
			for _, f := range b.info.fileInfos() {
				data, err := os.ReadFile(filepath.Join(dir, "blocks", f.name))
				if err != nil || f.sum == nil {
					t.Fatalf("%s: sum %v, error %v", f.name, f.sum, err)
				}
				if err := checkSum(bytes.NewReader(data), f.bytes, f.sum); err != nil {
					t.Errorf("%s: %v", f.name, err)
				}
			}
		}
	}
	if err := s.flushHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(s)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Config{Dir: dir})
	check(s)
	old, err := decodeBlockInfo([]byte(`{"number":1,"file":"a.parquet","rows":1,"bytes":1,"min_time_ms":1,"max_time_ms":1}`))
	if err != nil || old.Sum != nil {
		t.Errorf("entry without checksum: %+v, %v", old, err)
	}
	for _, bad := range []string{
		`{"number":1,"file":"a.parquet","rows":1,"bytes":1,"sum":{"crc32c":1}}`,
		`{"number":1,"file":"a.parquet","rows":1,"bytes":1,"remote":true}`,
	} {
		if _, err := decodeBlockInfo([]byte(bad)); !errors.Is(err, errCodec) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
