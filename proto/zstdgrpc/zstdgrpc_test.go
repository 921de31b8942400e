// SPDX-License-Identifier: Apache-2.0

package zstdgrpc

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"google.golang.org/grpc/encoding"
)

func compress(t testing.TB, c encoding.Compressor, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := c.Compress(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decompress(c encoding.Compressor, data []byte) ([]byte, error) {
	r, err := c.Decompress(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer r.(io.Closer).Close() //nolint:errcheck // only read
	return io.ReadAll(r)
}

func TestRegistered(t *testing.T) {
	t.Parallel()
	if encoding.GetCompressor(Name) == nil {
		t.Fatalf("compressor %q is not registered", Name)
	}
}

func TestRoundTripConcurrently(t *testing.T) {
	t.Parallel()
	c := newCompressor(MaxDecompressedBytes)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 20 {
				data := make([]byte, rnd.IntN(1<<16))
				for i := range data {
					data[i] = byte(rnd.IntN(7))
				}
				got, err := decompress(c, compress(t, c, data))
				if err != nil {
					t.Errorf("decompress: %v", err)
				}
				if !bytes.Equal(got, data) {
					t.Errorf("round trip of %d bytes changed them", len(data))
				}
			}
		})
	}
	wg.Wait()
}

func TestDecompressedSizeIsCapped(t *testing.T) {
	t.Parallel()
	const limit = 1 << 16
	c := newCompressor(limit)
	for _, tc := range []struct {
		size int
		want error
	}{{limit - 1, nil}, {limit, nil}, {limit + 1, ErrTooLarge}, {1 << 24, ErrTooLarge}} {
		got, err := decompress(c, compress(t, c, make([]byte, tc.size)))
		if tc.want == nil && (err != nil || len(got) != tc.size) {
			t.Errorf("%d bytes: got %d bytes and %v", tc.size, len(got), err)
		}
		if tc.want != nil && err == nil {
			t.Errorf("%d bytes were accepted, the limit is %d", tc.size, limit)
		}
		if len(got) > limit {
			t.Errorf("%d bytes: %d came out, the limit is %d", tc.size, len(got), limit)
		}
	}
	// The pooled decoder is usable after an error.
	if _, err := decompress(c, compress(t, c, []byte("fine"))); err != nil {
		t.Errorf("after an error: %v", err)
	}
}

func TestClosedTwice(t *testing.T) {
	t.Parallel()
	c := newCompressor(MaxDecompressedBytes)
	w, err := c.Compress(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, errClosed) {
		t.Errorf("write after close: %v", err)
	}
}

func FuzzDecompress(f *testing.F) {
	c := newCompressor(1 << 16)
	f.Add([]byte{})
	f.Add([]byte("not zstd"))
	f.Add(compress(f, c, []byte("hello hello hello hello")))
	f.Add(compress(f, c, make([]byte, 1<<17)))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := decompress(c, data)
		if len(out) > 1<<16 {
			t.Fatalf("%d bytes came out of %d (%v)", len(out), len(data), err)
		}
	})
}

func BenchmarkCompress(b *testing.B) {
	c := newCompressor(MaxDecompressedBytes)
	data := bytes.Repeat([]byte("columnar data repeats itself; "), 1<<12)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		w, err := c.Compress(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
