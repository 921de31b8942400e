// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// fakeProcess is a folder that looks like /proc with one process in it.
type fakeProcess struct {
	t    *testing.T
	proc string
	sym  *Symbolizer
	now  time.Time
}

const fakePID = 4711

func newFakeProcess(t *testing.T, uid int) *fakeProcess {
	t.Helper()
	p := &fakeProcess{t: t, proc: t.TempDir(), sym: New(Config{}), now: time.Unix(1e9, 0)}
	p.sym.procDir = p.proc
	p.sym.now = func() time.Time { return p.now }
	if err := os.MkdirAll(p.path("root/tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	status := fmt.Sprintf("Name:\tnode\nPid:\t%d\nUid:\t1\t%d\t3\t4\nNSpid:\t%d\t77\t9\n", fakePID, uid, fakePID)
	p.write("status", status)
	return p
}

func (p *fakeProcess) path(name string) string {
	return filepath.Join(p.proc, fmt.Sprint(fakePID), name)
}

func (p *fakeProcess) write(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *fakeProcess) expect(addr uint64, want string) {
	p.t.Helper()
	line, ok := p.sym.PerfMap(fakePID, 1, addr)
	if line.Function != want || ok != (want != "") {
		p.t.Errorf("%#x: %q, %v; want %q", addr, line.Function, ok, want)
	}
}

const perfMapPath = "root/tmp/perf-9.map" // the PID in the innermost namespace

func TestPerfMap(t *testing.T) {
	t.Parallel()
	p := newFakeProcess(t, os.Getuid())
	p.expect(0x1000, "") // no map yet
	p.write(perfMapPath, "1000 10 LazyCompile:*burn river.js:7\n7f0000001000 20 Builtin:Add\n2000 10 par")
	p.expect(0x1000, "") // not looked at again so soon
	p.now = p.now.Add(perfMapRetry)
	p.expect(0x1000, "LazyCompile:*burn river.js:7")
	p.expect(0x100f, "LazyCompile:*burn river.js:7")
	p.expect(0x1010, "")
	p.expect(0x7f000000101f, "Builtin:Add")
	p.expect(0x2000, "") // the line is not complete

	p.now = p.now.Add(perfMapFresh)
	p.write(perfMapPath, "1000 10 LazyCompile:*burn river.js:7\n7f0000001000 20 Builtin:Add\n2000 10 partial\n1008 10 newer\n")
	p.expect(0x2000, "partial")
	p.expect(0x1007, "LazyCompile:*burn river.js:7")
	p.expect(0x1008, "newer")
	if got := counted(t, p.sym.metrics.loaded.WithLabelValues(sourcePerfMap)); got != 2 {
		t.Errorf("loaded %v times", got)
	}

	// The file is begun anew.
	p.now = p.now.Add(perfMapFresh)
	p.write(perfMapPath, "3000 10 other\n")
	p.expect(0x2000, "")
	p.expect(0x3000, "other")
	if p.sym.Bytes() <= 0 {
		t.Error("no bytes")
	}
	p.sym.Close()
	if p.sym.Bytes() != 0 {
		t.Error("bytes after Close")
	}
}

func TestPerfMapOwner(t *testing.T) {
	t.Parallel()
	p := newFakeProcess(t, os.Getuid()+1)
	p.write(perfMapPath, "1000 10 lie\n")
	if os.Getuid() == 0 {
		// Root's files are believed; give it to a third user.
		if err := os.Chown(p.path(perfMapPath), 12345, 0); err != nil {
			t.Skip("needs CAP_CHOWN: ", err)
		}
	}
	p.expect(0x1000, "")
	p.now = p.now.Add(perfMapFresh)
	p.expect(0x1000, "")
	if got := counted(t, p.sym.metrics.errors.WithLabelValues(reasonPerfMapRefused)); got != 1 {
		t.Errorf("counted %v times", got)
	}
}

func TestPerfMapLinks(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("1000 10 secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		p := newFakeProcess(t, os.Getuid())
		if err := os.Symlink(secret, p.path(perfMapPath)); err != nil {
			t.Fatal(err)
		}
		p.expect(0x1000, "")
	})
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		p := newFakeProcess(t, os.Getuid())
		if err := os.Remove(p.path("root/tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Dir(secret), p.path("root/tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(secret, filepath.Join(filepath.Dir(secret), "perf-9.map")); err != nil {
			t.Fatal(err)
		}
		p.expect(0x1000, "")
	})
}

func TestPerfMapLines(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		bad  int
		want map[uint64]string
	}{
		"0x":         {"0x10 0x10 f\n", 0, map[uint64]string{0x10: "f"}},
		"spaces":     {"10  10   void f(int, int)  \n", 0, map[uint64]string{0x10: "void f(int, int)"}},
		"windows":    {"10 10 f\r\n", 0, map[uint64]string{0x10: "f"}},
		"no name":    {"10 10\n10 10 \n\n10\nzz 10 f\n10 zz f\n", 6, map[uint64]string{0x10: ""}},
		"no size":    {"10 0 f\n", 1, map[uint64]string{0x10: ""}},
		"overflow":   {"ffffffffffffffff 10 f\n10 ffffffffff f\n", 2, nil},
		"long name":  {"10 10 " + strings.Repeat("x", 3*maxPerfLine) + "\n30 10 g\n", 0, map[uint64]string{0x30: "g"}},
		"incomplete": {"10 10 f\n30 10 g", 0, map[uint64]string{0x10: "f", 0x30: ""}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p perfText
			n, bad, err := p.read(strings.NewReader(test.text))
			if err != nil || bad != test.bad || n > int64(len(test.text)) {
				t.Errorf("read = %d, %d, %v; want %d bad lines", n, bad, err, test.bad)
			}
			table, err := p.build(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			for addr, want := range test.want {
				if got, _, _ := table.lookup(addr); string(got) != want {
					t.Errorf("%#x: %q, want %q", addr, got, want)
				}
			}
		})
	}
}

func TestPerfMapsBounded(t *testing.T) {
	t.Parallel()
	var maps perfMaps
	maps.init(10_000)
	now := time.Unix(1e9, 0)
	dropped := 0
	for i := range 100 {
		m := maps.get(process{startTime: uint64(i)}, now.Add(time.Duration(i)*time.Second))
		dropped += maps.charge(m, 1000)
		if maps.bytes() > 10_000 {
			t.Fatalf("%d bytes", maps.bytes())
		}
	}
	if dropped != 90 {
		t.Errorf("%d dropped", dropped)
	}
}

func FuzzPerfMap(f *testing.F) {
	f.Add([]byte("1000 10 LazyCompile:*burn river.js:7\n7f0000001000 20 Builtin:Add\n2000 10 par"))
	f.Add([]byte("0 80000000 f\nffffffffffffff00 ff g\n\n10"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p perfText
		n, _, err := p.read(strings.NewReader(string(b)))
		if err != nil || n > int64(len(b)) {
			t.Fatalf("read = %d, %v", n, err)
		}
		table, err := p.build(1 << 20)
		if err != nil {
			return
		}
		for _, e := range p.entries {
			if name, _, ok := table.lookup(e.start); !ok || len(name) == 0 || len(name) > maxName+1 {
				t.Fatalf("%#x: %q, %v", e.start, name, ok)
			}
		}
	})
}

// TestPerfMapHere reads the map of a real process: this one.
func TestPerfMapHere(t *testing.T) {
	t.Parallel()
	path := fmt.Sprintf("/tmp/perf-%d.map", os.Getpid())
	if err := os.WriteFile(path, []byte("1000 10 here\n"), 0o600); err != nil {
		t.Skip("cannot write a perf map: ", err)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	line, ok := New(Config{}).PerfMap(libpf.PID(os.Getpid()), 1, 0x1008)
	if !ok || line.Function != "here" {
		t.Errorf("got %+v, %v", line, ok)
	}
}
