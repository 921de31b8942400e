// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf/hostfile"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// TestPerfMapRefused puts what is no perf map where one should be. Nothing blocks, and
// each is told once and left alone for a while.
func TestPerfMapRefused(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(path string) error{
		"FIFO":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"socket": func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
		"link":   func(path string) error { return os.Symlink("/etc/passwd", path) },
		"device": func(path string) error {
			// Also without the right to make one.
			return errors.Join(os.Remove(filepath.Dir(path)), os.Symlink("/dev/null", filepath.Dir(path)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newFakeProcess(t, os.Getuid())
			if err := place(p.path(perfMapPath)); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				p.expect(0x1000, "")
				p.now = p.now.Add(perfMapFresh)
			}
			refused := counted(t, p.sym.metrics.errors.WithLabelValues(reasonPerfMapRefused))
			if name != "device" && refused != 1 {
				t.Errorf("told %v times", refused)
			}
			if name == "device" || name == "folder" {
				return
			}
			// The runtime may put the right one there later.
			if err := os.Remove(p.path(perfMapPath)); err != nil {
				t.Fatal(err)
			}
			p.write(perfMapPath, "1000 10 late\n")
			p.expect(0x1000, "")
			p.now = p.now.Add(perfMapRefused)
			p.expect(0x1000, "late")
		})
	}
}

// TestPerfMapSizes shows that a map of any size takes bounded memory: a file of a TiB
// of nothing, and one of very many very short lines.
func TestPerfMapSizes(t *testing.T) {
	t.Parallel()
	t.Run("sparse", func(t *testing.T) {
		t.Parallel()
		p := newFakeProcess(t, os.Getuid())
		p.write(perfMapPath, "1000 10 first\n")
		if err := os.Truncate(p.path(perfMapPath), 1<<40); err != nil {
			t.Skip("no file of 1 TiB here: ", err)
		}
		p.expect(0x1000, "first")
		if got := counted(t, p.sym.metrics.errors.WithLabelValues(reasonPerfMapTooLong)); got != 1 {
			t.Errorf("counted %v times", got)
		}
	})
	t.Run("lines", func(t *testing.T) {
		t.Parallel()
		var text perfText
		line := []byte("1 1 f\n")
		_, _, err := text.read(bytes.NewReader(bytes.Repeat(line, maxPerfEntries+10)))
		if err != nil || !text.full || len(text.entries) != maxPerfEntries {
			t.Errorf("%d entries, full %v, %v", len(text.entries), text.full, err)
		}
	})
}

// TestPerfMapShrinks cuts a map short between two looks at it.
func TestPerfMapShrinks(t *testing.T) {
	t.Parallel()
	p := newFakeProcess(t, os.Getuid())
	p.write(perfMapPath, "1000 10 old\n2000 10 gone\n")
	p.expect(0x1000, "old")
	p.write(perfMapPath, "1000 10 new\n")
	p.now = p.now.Add(perfMapFresh)
	p.expect(0x1000, "new")
	p.expect(0x2000, "")
}

// TestDebugFileStaysInRoot lets a program in a container name debug files.
func TestDebugFileStaysInRoot(t *testing.T) {
	t.Parallel()
	path := compile(t, "gcc", "subject.c", subjectC, "-O1", "-no-pie", "-Wl,--build-id=none")
	hidden := addresses(t, path)["hidden"]
	outside := t.TempDir()
	debug := filepath.Join(outside, "subject.debug")
	tool(t, "objcopy", "--only-keep-debug", path, debug)
	tool(t, "objcopy", "--strip-all", "--add-gnu-debuglink="+debug, path)
	content, err := os.ReadFile(debug)
	if err != nil {
		t.Fatal(err)
	}
	unnamed := Unnamed("subject", hidden)
	for name, test := range map[string]struct {
		place func(to string) error
		want  string
	}{
		"inside":        {func(to string) error { return os.WriteFile(to, content, 0o600) }, "hidden"},
		"link out":      {func(to string) error { return os.Symlink(debug, to) }, unnamed},
		"relative link": {func(to string) error { return os.Symlink(strings.Repeat("../", 30)+debug, to) }, unnamed},
		"FIFO":          {func(to string) error { return unix.Mkfifo(to, 0o600) }, unnamed},
		"huge": {func(to string) error {
			return errors.Join(os.WriteFile(to, content, 0o600), os.Truncate(to, maxCRC+1))
		}, unnamed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			to := filepath.Join(root, "app", "subject.debug")
			if err := errors.Join(os.Mkdir(filepath.Dir(to), 0o700), test.place(to)); err != nil {
				t.Fatal(err)
			}
			exe := executable(path)
			exe.Path = "/app/subject"
			exe.OpenBeside = func(name string) (*pfelf.File, error) { return pfelf.OpenInRoot(root, name) }
			s := New(Config{DebugDirs: []string{filepath.Join(root, "none")}})
			if got := s.Native(exe, hidden)[0].Function; got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestShrinkingFile cuts an executable short while it is read: that is an error, and
// no signal, as nothing is mapped.
func TestShrinkingFile(t *testing.T) {
	t.Parallel()
	path := compile(t, "gcc", "subject.c", subjectC, "-O1")
	f, err := pfelf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	exe := executable(path)
	exe.Open = func() (*pfelf.File, error) { return f, nil }
	s := New(Config{})
	if got := s.Native(exe, 0x1139)[0].Function; got != Unnamed("subject", 0x1139) {
		t.Errorf("got %s", got)
	}
}

// TestSparseSections gives an ELF file a section that claims the most that a file can
// have at no cost.
func TestSparseSections(t *testing.T) {
	t.Parallel()
	path := compile(t, "gcc", "subject.c", subjectC, "-O1")
	const size = 8 << 30
	tool(t, "objcopy", "--add-section=.gnu_debugdata="+filepath.Join(filepath.Dir(path), "subject.c"), path)
	f, err := pfelf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	// As if the header said so; the file itself has room for it.
	if err := os.Truncate(path, size); err != nil {
		t.Skip("no file of 8 GiB here: ", err)
	}
	section := f.FindSection(".gnu_debugdata")
	section.Size, section.FileSize = size-section.Offset, size-section.Offset
	if _, err := openMiniDebug(f); !errors.Is(err, errTooLarge) {
		t.Errorf("packed symbols of 8 GiB: %v", err)
	}
	if _, err := f.SectionData(section.Name); !errors.Is(err, pfelf.ErrTooLarge) {
		t.Errorf("section of 8 GiB: %v", err)
	}
	if _, err := f.SectionUpTo(section.Name, 10); !errors.Is(err, pfelf.ErrTooLarge) {
		t.Errorf("above a limit: %v", err)
	}
}

// TestOpenPerfMapErrors keeps refusals apart from what is not there.
func TestOpenPerfMapErrors(t *testing.T) {
	t.Parallel()
	p := newFakeProcess(t, os.Getuid())
	dir := filepath.Join(p.proc, fmt.Sprint(fakePID))
	if _, err := openPerfMap(dir); !errors.Is(err, os.ErrNotExist) || errors.Is(err, hostfile.ErrRefused) {
		t.Errorf("no map: %v", err)
	}
}
