// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
)

// fakeProc makes a proc directory of process 7 with the given links.
func fakeProc(t *testing.T) (proc, dir, root string) {
	t.Helper()
	proc = t.TempDir()
	dir, root = filepath.Join(proc, "7"), filepath.Join(proc, "7", "root")
	for _, d := range []string{filepath.Join(dir, "map_files"), filepath.Join(root, "usr")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return proc, dir, root
}

func writeImage(t *testing.T, path, mark string) (inode uint64) {
	t.Helper()
	img := testImage(testBase, testSection{name: mark, typ: elf.SHT_PROGBITS, data: []byte("x")})
	if err := os.WriteFile(path, img, 0o600); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Ino
}

func TestOpenProcessOrder(t *testing.T) {
	t.Parallel()
	proc, dir, root := fakeProc(t)
	open := func(path string) string {
		t.Helper()
		f, err := openProcess(proc, 7, 0x1000, 0x2000, path)
		if err != nil {
			return "error"
		}
		defer f.Close()
		return f.Sections[1].Name
	}
	check := func(what, path, want string) {
		t.Helper()
		if got := open(path); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	maps := func(inode uint64) {
		line := fmt.Sprintf("00001000-00002000 r-xp 00000000 08:01 %d   /usr/lib\n", inode)
		if err := os.WriteFile(filepath.Join(dir, "maps"), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check("nothing there", "/usr/lib", "error")

	inode := writeImage(t, filepath.Join(root, "usr", "lib"), "in-root")
	check("no maps file to compare with", "/usr/lib", "in-root")
	maps(inode)
	check("below root", "/usr/lib", "in-root")
	maps(inode + 1)
	check("replaced", "/usr/lib", "error")

	writeImage(t, filepath.Join(proc, "program"), "exe")
	if err := os.Symlink(filepath.Join(proc, "program"), filepath.Join(dir, "exe")); err != nil {
		t.Fatal(err)
	}
	check("program, deleted", filepath.Join(proc, "program")+deletedSuffix, "exe")
	check("another file, deleted", "/usr/other"+deletedSuffix, "error")

	// A link to an absolute path stays inside the process's root.
	outside := filepath.Join(proc, "program")
	if err := os.Symlink(outside, filepath.Join(root, "usr", "link")); err != nil {
		t.Fatal(err)
	}
	check("link out of root", "/usr/link", "error")

	writeImage(t, filepath.Join(dir, "map_files", "1000-2000"), "mapped")
	check("map_files first", "/usr/lib", "mapped")
}

func TestOpenProcessErrors(t *testing.T) {
	t.Parallel()
	proc, _, _ := fakeProc(t)
	_, err := openProcess(proc, 7, 0x1000, 0x2000, "/usr/lib")
	if !errors.Is(err, os.ErrNotExist) || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three joined reasons, got %v", err)
	}
}

// TestOpenProcessSelf opens the file that holds this test's code.
func TestOpenProcessSelf(t *testing.T) {
	t.Parallel()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("no /proc/self/maps:", err)
	}
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "r-xp" || !strings.HasPrefix(fields[5], "/") {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, _ := strconv.ParseUint(from, 16, 64)
		end, _ := strconv.ParseUint(to, 16, 64)
		f, err := OpenProcess(libpf.PID(os.Getpid()), start, end, fields[5])
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if !f.IsGo() || f.GoBuildID() == "" && f.FindSection(".gopclntab") == nil {
			t.Errorf("%s: not seen as Go", fields[5])
		}
		return
	}
	t.Fatal("no executable mapping of a file")
}
