// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// smallArchive returns a backup with one file.
func smallArchive(tb testing.TB, name string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var s summer
	_, _ = s.Write([]byte("x"))
	text, err := json.Marshal(&Manifest{Format: manifestFormat, Files: []ManifestFile{{Path: name, Bytes: 1, CRC: s.whole}}})
	if err != nil {
		tb.Fatal(err)
	}
	if err := writeTar(w, name, 0o640, []byte("x"), time.Time{}); err != nil {
		tb.Fatal(err)
	}
	if err := writeTar(w, ManifestName, 0o640, text, time.Time{}); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// sparseArchive returns a small archive with a file of a tebibyte of zeros.
func sparseArchive(tb testing.TB) []byte {
	tb.Helper()
	const size = "1099511627776"
	var b bytes.Buffer
	entry := func(name string, kind byte, content string) {
		header := make([]byte, 512)
		copy(header, name)
		copy(header[100:], "0000640\x000000000\x000000000\x00")
		copy(header[124:], fmt.Sprintf("%011o\x0000000000000\x00", len(content)))
		copy(header[148:], "        ")
		header[156] = kind
		copy(header[257:], "ustar\x0000")
		sum := 0
		for _, c := range header {
			sum += int(c)
		}
		copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
		b.Write(header)
		b.WriteString(content)
		b.Write(make([]byte, (512-len(content)%512)%512))
	}
	records := ""
	for _, r := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=blocks/a.parquet", "GNU.sparse.realsize=" + size} {
		records += fmt.Sprintf("%d %s\n", len(r)+4, r)
	}
	entry("pax", 'x', records)
	sparse := "1\n" + size + "\n0\n"
	entry("blocks/a.parquet", '0', sparse+strings.Repeat("\x00", 512-len(sparse)))
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

// TestSparseArchive does not fill the disk with what a few bytes say.
func TestSparseArchive(t *testing.T) {
	h, err := tar.NewReader(bytes.NewReader(sparseArchive(t))).Next()
	if err != nil || h.Size != 1<<40 {
		t.Fatalf("not the archive that was meant: %+v, %v", h, err)
	}
	if _, err := CheckArchive(t.Context(), bytes.NewReader(sparseArchive(t))); err == nil || !strings.Contains(err.Error(), "is not a file of a backup") {
		t.Errorf("error %v", err)
	}
}

// FuzzUnpack never writes outside of its directory.
func FuzzUnpack(f *testing.F) {
	f.Add(smallArchive(f, "blocks/a.parquet"))
	f.Add(smallArchive(f, "../a"))
	f.Add(sparseArchive(f))
	f.Add([]byte("not an archive"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		_, err := Unpack(t.Context(), bytes.NewReader(data), filepath.Join(parent, "in"))
		entries, readErr := os.ReadDir(parent)
		if readErr != nil || len(entries) != 1 {
			t.Errorf("unpacked to %v, %v", entries, readErr)
		}
		if _, checkErr := CheckArchive(t.Context(), bytes.NewReader(data)); err == nil && checkErr != nil {
			t.Errorf("unpacked what does not check: %v", checkErr)
		}
	})
}

// FuzzFooter reads ends of files that are no Parquet.
func FuzzFooter(f *testing.F) {
	f.Add([]byte("PAR1"))
	f.Add([]byte("xxxx\x04\x00\x00\x00PAR1"))
	_, _, data := smallBlock(f, f.TempDir())
	f.Add(data)
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = withoutColumnIndex(data) })
}
