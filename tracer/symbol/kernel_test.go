// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/libpf"
)

const testKallsyms = `0000000000000000 A fixed_percpu_data
0000000000001000 t percpu_thing
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000040 t do_work.isra.0
ffffffff81000080 T __do_sys_read
ffffffff81000080 W do_sys_read
ffffffff81001000 T _etext
ffffffff82000000 D some_data
ffffffff83000000 T _sinittext
ffffffff83000000 t early
ffffffff83000100 T _einittext
ffffffffc0010000 t veth_xmit	[veth]
ffffffffc0010100 T veth_poll	[veth]
ffffffffc0200000 t bpf_prog_6deef7357e7b4530_sd_fw_egress	[bpf]
ffffffffc0201000 t bpf_trampoline_6442536467	[bpf]
`

const testModules = "veth 4096 0 - Live 0xffffffffc0010000\nempty 8192 1 veth, Live 0xffffffffc0020000 (OE)\n"

// fakeKernel is a folder with the files that a Kernel reads.
type fakeKernel struct {
	t    *testing.T
	root string
}

func newFakeKernel(t *testing.T) *fakeKernel {
	t.Helper()
	k := &fakeKernel{t: t, root: t.TempDir()}
	k.write("proc/kallsyms", testKallsyms)
	k.write("proc/modules", testModules)
	k.write("proc/sys/kernel/osrelease", "6.1.0-test\n")
	note := "\x04\x00\x00\x00\x04\x00\x00\x00\x03\x00\x00\x00GNU\x00\xde\xad\xbe\xef"
	other := "\x06\x00\x00\x00\x02\x00\x00\x00\x00\x01\x00\x00Linux\x00\x00\x00ab\x00\x00"
	k.write("sys/kernel/notes", other+note)
	k.write("sys/module/veth/notes/.note.gnu.build-id", strings.ReplaceAll(note, "\xde", "\xdf"))
	return k
}

func (k *fakeKernel) write(name, content string) {
	k.t.Helper()
	path := filepath.Join(k.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func (k *fakeKernel) open() *Kernel {
	k.t.Helper()
	kernel, err := NewKernel(KernelConfig{Root: k.root})
	if err != nil {
		k.t.Fatal(err)
	}
	return kernel
}

func TestKernelLookup(t *testing.T) {
	t.Parallel()
	k := newFakeKernel(t).open()
	image, veth := libpf.FileIDFromBuildID("deadbeef"), libpf.FileIDFromBuildID("dfadbeef")
	empty := libpf.FileIDFromIdentity("kernel", "6.1.0-test", "[empty]")
	bpf := func(name string) libpf.FileID { return libpf.FileIDFromIdentity("kernel-code", "bpf", name) }
	tests := map[uint64]KernelSymbol{
		0xffffffff81000000: {KernelName, image, "deadbeef", 0, "startup_64", ""},
		0xffffffff8100003f: {KernelName, image, "deadbeef", 0x3f, "startup_64", ""},
		0xffffffff81000041: {KernelName, image, "deadbeef", 0x41, "do_work", "do_work.isra.0"},
		0xffffffff81000fff: {KernelName, image, "deadbeef", 0xfff, "do_sys_read", ""},
		0xffffffff83000010: {KernelName, image, "deadbeef", 0x2000010, "early", ""},
		0xffffffffc0010002: {"[veth]", veth, "dfadbeef", 2, "veth_xmit", ""},
		0xffffffffc0010fff: {"[veth]", veth, "dfadbeef", 0xfff, "veth_poll", ""},
		0xffffffffc0020004: {"[empty]", empty, "", 4, "[empty]+0x4", ""},
		0xffffffffc0200010: {
			"[bpf]", bpf("bpf_prog_6deef7357e7b4530_sd_fw_egress"), "", 0x10, "bpf_prog_6deef7357e7b4530_sd_fw_egress", "",
		},
		0xffffffffc0201008: {"[bpf]", bpf("bpf_trampoline_6442536467"), "", 8, "bpf_trampoline_6442536467", ""},
	}
	for addr, want := range tests {
		got, ok := k.Lookup(addr)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b libpf.FileID) bool { return a == b })); diff != "" || !ok {
			t.Errorf("%#x: %v (-want +got):\n%s", addr, ok, diff)
		}
	}
	for _, addr := range []uint64{0, 0x1000, 0xffffffff80ffffff, 0xffffffff81001000, 0xffffffff82000000, 0xffffffffc0011000, ^uint64(0)} {
		if got, ok := k.Lookup(addr); ok {
			t.Errorf("%#x: %+v", addr, got)
		}
	}
	want := []libpf.Executable{
		{FileID: image, FileName: KernelName, BuildID: "deadbeef"},
		{FileID: veth, FileName: "[veth]", BuildID: "dfadbeef"},
		{FileID: empty, FileName: "[empty]"},
	}
	if diff := cmp.Diff(want, k.Executables(), cmp.Comparer(func(a, b libpf.FileID) bool { return a == b })); diff != "" {
		t.Errorf("executables (-want +got):\n%s", diff)
	}
}

func TestKernelReload(t *testing.T) {
	t.Parallel()
	files := newFakeKernel(t)
	k := files.open()
	now := time.Now()
	k.now = func() time.Time { return now }
	const added = 0xffffffffc0300000
	files.write("proc/kallsyms", testKallsyms+"ffffffffc0300000 t bpf_prog_new\t[bpf]\n")
	if _, ok := k.Lookup(added); ok {
		t.Error("read again at once")
	}
	now = now.Add(kernelReload)
	if sym, ok := k.Lookup(added); !ok || sym.Function != "bpf_prog_new" {
		t.Errorf("after a while: %+v, %v", sym, ok)
	}
	if got := counted(t, k.reloads.WithLabelValues("unknown_address")); got != 1 {
		t.Errorf("read again %v times", got)
	}

	// Another module takes the place of one that is known.
	files.write("proc/kallsyms", strings.ReplaceAll(testKallsyms, "veth", "vlan"))
	files.write("proc/modules", strings.ReplaceAll(testModules, "veth", "vlan"))
	now = now.Add(kernelRecheck)
	if sym, ok := k.Lookup(0xffffffffc0010002); !ok || sym.Module != "[vlan]" || sym.Function != "vlan_xmit" {
		t.Errorf("after a change of modules: %+v, %v", sym, ok)
	}

	// What was known stays when reading fails.
	if err := os.Remove(filepath.Join(files.root, "proc/kallsyms")); err != nil {
		t.Fatal(err)
	}
	files.write("proc/modules", testModules)
	now = now.Add(kernelRecheck)
	if sym, ok := k.Lookup(0xffffffffc0010002); !ok || sym.Function != "vlan_xmit" {
		t.Errorf("after an error: %+v, %v", sym, ok)
	}
}

func TestKernelErrors(t *testing.T) {
	t.Parallel()
	hidden := newFakeKernel(t)
	hidden.write("proc/kallsyms", "0000000000000000 T _text\n0000000000000000 t f\n0000000000000000 t g\t[veth]\n")
	_, err := NewKernel(KernelConfig{Root: hidden.root})
	if !errors.Is(err, ErrKernelAddressesHidden) || !strings.Contains(err.Error(), "kptr_restrict") {
		t.Errorf("hidden: %v", err)
	}
	if _, err := NewKernel(KernelConfig{Root: t.TempDir()}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no kallsyms: %v", err)
	}
	garbage := newFakeKernel(t)
	garbage.write("proc/kallsyms", "hello\nworld\n")
	if _, err := NewKernel(KernelConfig{Root: garbage.root}); err == nil {
		t.Error("garbage was read")
	}
	endless := newFakeKernel(t)
	endless.write("proc/kallsyms", strings.Repeat("x", 1<<20))
	if _, err := NewKernel(KernelConfig{Root: endless.root}); err == nil {
		t.Error("an endless line was read")
	}
}

// TestKernelHere reads the kernel that the test runs on.
func TestKernelHere(t *testing.T) {
	t.Parallel()
	k, err := NewKernel(KernelConfig{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Skip("kernel symbols: ", err)
	}
	text, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Skip(err)
	}
	checked := 0
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) != 3 || f[1] != "t" && f[1] != "T" || boundaries[f[2]] || checked == 2000 {
			continue
		}
		addr, _ := parseHex([]byte(f[0]))
		sym, ok := k.Lookup(addr)
		if addr < k.state.text[0].start || !ok {
			continue
		}
		checked++
		if len(f[2]) < len(sym.Function) && !strings.HasPrefix(f[2], "_") {
			t.Errorf("%s: %+v, want %s", f[0], sym, f[2])
		}
	}
	if checked < 1000 {
		t.Errorf("only %d symbols", checked)
	}
}

func FuzzKallsyms(f *testing.F) {
	f.Add([]byte(testKallsyms))
	f.Add([]byte("ffffffff81000000 T a\nffffffff81000000 T b\nffffffffffffffff t c\t[x]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseKallsyms(bytes.NewReader(b))
		if err != nil || len(k.symbols) == 0 {
			return
		}
		s := &kernelState{text: k.imageText()}
		table, err := newTable(k.spans(s.endOf), 1<<20, func(id uint32) []byte { return k.rawName(&k.symbols[id]) })
		if err != nil {
			return
		}
		s.table = table
		for _, sym := range k.symbols {
			if got, ok := s.lookup(sym.addr); ok && len(got.Function) > maxName {
				t.Fatalf("%#x: %+v", sym.addr, got)
			}
		}
	})
}

// TestEndOfCodeIsData reads symbols as arm64 has them: the end of the code is the
// beginning of data, and the initial code, which has both ends, is not all there is.
func TestEndOfCodeIsData(t *testing.T) {
	t.Parallel()
	k, err := parseKallsyms(strings.NewReader(`ffff800080000000 T _text
ffff800080010000 T _stext
ffff800080010040 T el0_svc
ffff800081000000 D _etext
ffff800082000000 T _sinittext
ffff800082001000 T _einittext
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []kernelModule{
		{start: 0xffff800080000000, end: 0xffff800081000000},
		{start: 0xffff800082000000, end: 0xffff800082001000},
	}
	if diff := cmp.Diff(want, k.imageText(), cmp.AllowUnexported(kernelModule{})); diff != "" {
		t.Error(diff)
	}
}
