// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// FuzzProcessIDs reads any bytes as the status file of a process.
func FuzzProcessIDs(f *testing.F) {
	f.Add([]byte("Name:\ta\nPid:\t7\nUid:\t1\t2\t3\t4\nNSpid:\t7\t1\n"))
	f.Add([]byte("Name:\tUid:\nUid:\t99999999999 4294967295\nNSpid:\t../../etc\n"))
	path := filepath.Join(f.TempDir(), "status")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		hostile.Bound(t, len(b), 64, func() {
			if _, pid, err := processIDs(path); err == nil && (pid == "" || strings.Trim(pid, "0123456789") != "") {
				t.Fatalf("PID %q becomes part of a path", pid)
			}
		})
	})
}

// TestHugePerfMap has a perf map of 4 GiB, nearly all of which is a hole, behind
// real lines: no more than the limit is read, and what was read counts.
func TestHugePerfMap(t *testing.T) {
	proc := t.TempDir()
	dir := filepath.Join(proc, "7")
	if err := os.MkdirAll(filepath.Join(dir, "root", "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	status := fmt.Sprintf("Name:\tx\nPid:\t7\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\nNSpid:\t7\n", os.Geteuid())
	if err := os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "root", "tmp", "perf-7.map")
	if err := os.WriteFile(path, []byte("1000 10 here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4<<30); err != nil {
		t.Skipf("no file with holes: %v", err)
	}
	s := New(Config{})
	s.procDir = proc
	hostile.Bound(t, maxPerfMap, 1, func() {
		line, ok := s.PerfMap(libpf.PID(7), 1, 0x1008)
		if !ok || line.Function != "here" {
			t.Errorf("got %+v, %v", line, ok)
		}
	})
}

// endless is a text that repeats itself up to a size.
type endless struct {
	line string
	left int64
	at   int
}

// Read implements io.Reader.
func (e *endless) Read(b []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(b) && e.left > 0 {
		m := copy(b[n:], e.line[e.at:])
		e.at = (e.at + m) % len(e.line)
		n += m
		e.left -= int64(m)
	}
	return n, nil
}

// TestEndlessTexts reads texts that do not stop: lines without an end, and more
// symbols than any kernel has.
func TestEndlessTexts(t *testing.T) {
	if _, err := parseKallsyms(&endless{line: strings.Repeat("f", 4096), left: 1 << 40}); err == nil {
		t.Error("a line of 1 TiB was taken for a symbol")
	}
	hostile.Bound(t, maxKallsyms, 512, func() {
		k, err := parseKallsyms(&endless{line: "ffffffff81000000 t f\n", left: 21 * 2 * maxKallsyms})
		if err != nil || len(k.symbols) > maxKallsyms {
			t.Errorf("%d symbols, %v", len(k.symbols), err)
		}
	})
	hostile.Bound(t, 1<<20, 8, func() {
		var p perfText
		if n, bad, err := p.read(&endless{line: strings.Repeat("x", 4096), left: 256 << 20}); n != 0 && bad == 0 || err != nil {
			t.Errorf("read %d bytes, %d bad lines, %v", n, bad, err)
		}
	})
}
