// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name, link := filepath.Join(dir, "a.svg"), filepath.Join(dir, "link.svg")
	if err := os.Symlink("a.svg", link); err != nil {
		t.Fatal(err)
	}
	check := func(want string, mode fs.FileMode) {
		t.Helper()
		data, err := os.ReadFile(name)
		info, statErr := os.Stat(name)
		if err != nil || statErr != nil || string(data) != want || info.Mode().Perm() != mode {
			t.Errorf("%q, %v, %v; want %q, %v", data, info.Mode(), errors.Join(err, statErr), want, mode)
		}
		if list, _ := os.ReadDir(dir); len(list) != 2 {
			t.Errorf("left behind: %v", list)
		}
	}
	if err := replaceFile(name, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("one", 0o600)
	if err := os.Chmod(name, 0o640); err != nil { //nolint:gosec // as a user does
		t.Fatal(err)
	}
	// A reader that has the file open still sees the whole of the old one.
	old, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close() //nolint:errcheck // read only
	if err := replaceFile(link, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("two", 0o640)
	was := make([]byte, 10)
	if n, _ := old.Read(was); string(was[:n]) != "one" {
		t.Errorf("the old file was changed in place: %q", was[:n])
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	err = replaceFile(filepath.Join(dir, "none", "a.svg"), nil, 0o600)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "a.svg") {
		t.Errorf("no directory: %v", err)
	}
	if err := replaceFile(os.DevNull, []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
}
