// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
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

// FuzzUnpack never writes outside of its directory.
func FuzzUnpack(f *testing.F) {
	f.Add(smallArchive(f, "blocks/a.parquet"))
	f.Add(smallArchive(f, "../a"))
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
