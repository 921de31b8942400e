// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
