// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ulikunitz/xz"
)

// pack returns b as xz data.
func pack(t testing.TB, b []byte, cfg xz.WriterConfig) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := cfg.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// noise returns data that is half compressible.
func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.UintN(16))
		if i%7 == 0 {
			b[i] = byte(rng.UintN(256))
		}
	}
	return b
}

func TestUnxz(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		data []byte
		cfg  xz.WriterConfig
	}{
		"small":      {[]byte("hello"), xz.WriterConfig{}},
		"large":      {noise(300_000), xz.WriterConfig{}},
		"blocks":     {noise(300_000), xz.WriterConfig{BlockSize: 50_000}},
		"sha256":     {noise(1000), xz.WriterConfig{CheckSum: xz.SHA256, BlockSize: 300}},
		"no check":   {noise(1000), xz.WriterConfig{NoCheckSum: true}},
		"small dict": {noise(10_000), xz.WriterConfig{DictCap: 4096}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := unxz(pack(t, test.data, test.cfg), maxMiniDebug)
			if err != nil || !bytes.Equal(got, test.data) {
				t.Errorf("%d bytes instead of %d, %v", len(got), len(test.data), err)
			}
		})
	}
}

func TestUnxzBounds(t *testing.T) {
	t.Parallel()
	bomb := pack(t, make([]byte, 1<<20), xz.WriterConfig{})
	if _, err := unxz(bomb, 1<<16); !errors.Is(err, errTooLarge) {
		t.Errorf("bomb: %v", err)
	}
	big := pack(t, []byte("hello"), xz.WriterConfig{DictCap: 4096})
	// The dictionary's size is the last byte of the filter, 4 GiB - 1.
	i := bytes.Index(big[12:], []byte{0x21, 1})
	big[12+i+2] = 40
	if _, err := unxz(big, 1<<16); !errors.Is(err, errTooLarge) {
		t.Errorf("dictionary: %v", err)
	}
	short := pack(t, noise(200), xz.WriterConfig{DictCap: 4096})
	for n := range len(short) - 30 {
		if _, err := unxz(short[:n], 1<<16); err == nil {
			t.Fatalf("the first %d of %d bytes were enough", n, len(short))
		}
	}
}

func FuzzUnxz(f *testing.F) {
	f.Add(pack(f, []byte("hello"), xz.WriterConfig{}))
	f.Add(pack(f, noise(2000), xz.WriterConfig{BlockSize: 500}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, err := unxz(b, 1<<16); (err != nil) != (out == nil) && len(out) > 1<<16 {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
	})
}
