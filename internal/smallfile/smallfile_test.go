// SPDX-License-Identifier: Apache-2.0

package smallfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, n), 0o640); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		write("empty", 0):      "",
		write("full", 2<<10):   "",
		write("more", 2<<10+1): "more is larger than 2 KiB",
		fifo:                   "fifo is no regular file",
		dir:                    "is no regular file",
	} {
		b, info, err := Read(path, 2)
		switch {
		case info == nil:
			t.Errorf("%s: nothing is known of the file: %v", path, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || b != nil):
			t.Errorf("%s: %d bytes, error %v, want %q", path, len(b), err, want)
		case want == "" && (err != nil || int64(len(b)) != info.Size() || info.Mode().Perm() != 0o640):
			t.Errorf("%s: %d bytes, mode %o, error %v", path, len(b), info.Mode(), err)
		}
	}
	if _, _, err := Read(filepath.Join(dir, "none"), 2); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
