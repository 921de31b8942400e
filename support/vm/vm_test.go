// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/strobe-profiler/strobe/support/skip"
)

// TestArchive unpacks what the kernel unpacks, with a program that is not ours.
func TestArchive(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("cpio"); err != nil {
		skip.Because(t, "needs cpio")
	}
	var b bytes.Buffer
	a := newArchive(&b)
	a.file("/init", 0o755, []byte("one"))
	a.file("/deep/er/file", 0o644, bytes.Repeat([]byte("x"), 4097))
	a.file("/deep/empty", 0o600, nil)
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("cpio", "-i", "--quiet")
	cmd.Dir, cmd.Stdin = dir, &b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	for name, size := range map[string]int64{"init": 3, "deep/er/file": 4097, "deep/empty": 0} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Size() != size {
			t.Errorf("%s: %v, want %d bytes", name, err, size)
		}
	}
	if st, err := os.Stat(filepath.Join(dir, "init")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("init: %v, %v", st, err)
	}
}

// TestBootable: a kernel that unpacks itself under EFI only is unpacked, others stay.
func TestBootable(t *testing.T) {
	t.Parallel()
	kernel := []byte(strings.Repeat("kernel ", 1000))
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(kernel); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 64)
	copy(head, "MZ")
	copy(head[4:], "zimg")
	binary.LittleEndian.PutUint32(head[8:], 64)
	binary.LittleEndian.PutUint32(head[12:], uint32(packed.Len()))
	copy(head[24:], "gzip")
	beyond := bytes.Clone(head)
	binary.LittleEndian.PutUint32(beyond[12:], 1<<31)
	unknown := bytes.Clone(head)
	copy(unknown[24:], "lz9!")
	for name, c := range map[string]struct {
		image, want []byte
		err         string
	}{
		"packed":  {append(bytes.Clone(head), packed.Bytes()...), kernel, ""},
		"plain":   {kernel, kernel, ""},
		"short":   {[]byte("MZ"), []byte("MZ"), ""},
		"beyond":  {append(beyond, packed.Bytes()...), nil, "beyond its end"},
		"unknown": {append(unknown, packed.Bytes()...), nil, "not known"},
	} {
		file := filepath.Join(t.TempDir(), "vmlinuz")
		if err := os.WriteFile(file, c.image, 0o600); err != nil {
			t.Fatal(err)
		}
		err := bootable(file)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
			continue
		}
		if got, _ := os.ReadFile(file); err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %v, %d bytes", name, err, len(got))
		}
	}
}

func pack(t testing.TB, kernel []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(kernel, nil)
}

// imageX86 is an image with one sector of setup behind the first, and the payload eight
// bytes into what follows.
func imageX86(payload []byte) []byte {
	head := make([]byte, 1024+8)
	head[0x1f1] = 1
	copy(head[0x202:], "HdrS\x0f\x02")
	binary.LittleEndian.PutUint32(head[0x248:], 8)
	binary.LittleEndian.PutUint32(head[0x24c:], uint32(len(payload)+4))
	return append(append(head, payload...), "sizeand more"...)
}

// TestImageX86: the kernel in an image for x86 is found and unpacked.
func TestImageX86(t *testing.T) {
	t.Parallel()
	kernel := []byte(strings.Repeat("kernel ", 1000))
	good := imageX86(pack(t, kernel))
	change := func(at int, b ...byte) []byte {
		out := bytes.Clone(good)
		copy(out[at:], b)
		return out
	}
	for name, c := range map[string]struct {
		image []byte
		err   string
	}{
		"right":     {good, ""},
		"short":     {good[:0x24f], "no image for x86"},
		"no header": {change(0x202, 'X'), "no image for x86"},
		"old":       {change(0x206, 7), "does not say where"},
		"beyond":    {change(0x24f, 0x7f), "beyond its end"},
		"nothing":   {change(0x24c, 3, 0, 0, 0), "beyond its end"},
		"unknown":   {imageX86([]byte("\x02!L\x18rest")), `"02 21 4c 18" is not known`},
		"empty":     {imageX86(nil), `"" is not known`},
		"broken":    {change(1024+8+12, 1, 2, 3, 4, 5, 6, 7, 8), "unpack"},
	} {
		got, err := vmlinux(c.image)
		if c.err == "" && (err != nil || !bytes.Equal(got, kernel)) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %d bytes, %v, want %q", name, len(got), err, c.err)
		}
	}
}

// TestBreakTypes: the function returns NULL, the types' numbers are gone, and nothing else
// is changed.
func TestBreakTypes(t *testing.T) {
	t.Parallel()
	const base, at = 0xffffffff81000000, 0x10
	code := "\xf3\x0f\x1e\xfa\xe8sym.\x48\x8b\x05the rest"
	text := strings.Repeat("\x90", at) + code
	const ids, names = "numbers of types", "\x00.BTF_ids\x00.shstrtab\x00"
	var b bytes.Buffer
	const head = 64 + 56
	data := uint64(head + len(text))
	for _, v := range []any{
		elf.Header64{
			Ident:   [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:    uint16(elf.ET_EXEC),
			Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Phoff: 64, Phentsize: 56, Phnum: 1,
			Shoff: data + uint64(len(ids)+len(names)), Shentsize: 64, Shnum: 3, Shstrndx: 2,
		},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Off: head, Vaddr: base, Filesz: uint64(len(text)), Memsz: uint64(len(text))},
		[]byte(text + ids + names),
		[]elf.Section64{
			{},
			{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: data, Size: uint64(len(ids))},
			{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: data + uint64(len(ids)), Size: uint64(len(names))},
		},
	} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	kernel := b.Bytes()
	want := bytes.Replace(kernel, []byte("sym.\x48\x8b\x05"), []byte("sym.\x31\xc0\xc3"), 1)
	want = bytes.Replace(want, []byte(ids), make([]byte, len(ids)), 1)
	without := func(old, with string) []byte { return bytes.Replace(kernel, []byte(old), []byte(with), 1) }
	for name, c := range map[string]struct {
		kernel []byte
		at     uint64
		err    string
	}{
		"right":       {kernel, base + at, ""},
		"no ELF file": {[]byte("kernel"), base + at, "EOF"},
		"no types":    {without(".BTF_ids", ".BTF_xyz"), base + at, "no type information"},
		"cut off":     {kernel[:len(kernel)-1], base + at, "EOF"},
		"before":      {kernel, base - 1, "begins at"},
		"behind":      {kernel, base + uint64(len(text)), "begins at"},
		"not traced":  {without("\xe8sym", "\x90sym"), base + at, "begins at"},
		"elsewhere":   {kernel, base + at + 1, "begins at"},
	} {
		k := bytes.Clone(c.kernel)
		err := breakTypes(k, c.at)
		if c.err == "" && (err != nil || !bytes.Equal(k, want)) {
			t.Errorf("%s: %v\n%q, want\n%q", name, err, k, want)
		}
		if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || !bytes.Equal(k, c.kernel)) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
	}
}

// FuzzImages: no image and no kernel makes what reads them panic.
func FuzzImages(f *testing.F) {
	f.Add(imageX86(pack(f, []byte("kernel"))), uint64(0))
	object, err := os.ReadFile("../strobe_x86_bpfel.o")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(object, uint64(0))
	f.Fuzz(func(_ *testing.T, b []byte, at uint64) {
		_, _ = vmlinux(b)
		_ = breakTypes(b, at)
	})
}

// TestTree makes a root with a program and its libraries, and its image.
func TestTree(t *testing.T) {
	t.Parallel()
	tree, err := NewTree(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("cat")
	if err != nil {
		skip.Because(t, "needs cat")
	}
	if err := tree.AddProgram(program); err != nil {
		t.Fatal(err)
	}
	libs, _ := filepath.Glob(tree.Path("/lib*/*/libc.so.6"))
	if _, err := os.Stat(tree.Path(program)); err != nil || len(libs) == 0 {
		t.Errorf("%v, libraries %v", err, libs)
	}
	file := filepath.Join(t.TempDir(), "root.img")
	if err := tree.Image(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	magic := make([]byte, 2)
	if _, err := f.ReadAt(magic, 0x438); err != nil || !bytes.Equal(magic, []byte{0x53, 0xef}) {
		t.Errorf("no ext4: % x, %v", magic, err)
	}
}

// TestReceive: what a guest hands back stays in its folder.
func TestReceive(t *testing.T) {
	t.Parallel()
	for name, archive := range map[string]io.Reader{
		"nothing":    strings.NewReader(""),
		"no archive": strings.NewReader(strings.Repeat("x", 2000)),
	} {
		if r, err := receive(archive, t.TempDir()); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestSourceErrors(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]Source{
		"flavour":      {Suite: "sid", Arch: "amd64", Flavour: "tiny"},
		"architecture": {Suite: "sid", Arch: "riscv64"},
		"suite":        {Suite: "../etc", Arch: "amd64"},
	} {
		if _, err := Fetch(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Fetch(%+v) = %v", s, err)
		}
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	w := &tail{limit: 4}
	for _, s := range []string{"ab", "cd", "ef\r"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if w.text() != "def" {
		t.Errorf("%q", w.text())
	}
}
