// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/tracer/process"
)

const imageBase = 0x7f0000000000

func TestMethodNames(t *testing.T) {
	t.Parallel()
	img, err := openImage(fakeMemory{imageBase: assembly(t)}.memory(), imageBase)
	if err != nil {
		t.Fatal(err)
	}
	if !img.flat {
		t.Error("the file as it is was taken for a mapped image")
	}
	var got []string
	for rid := uint32(1); rid <= img.meta.tables[tableMethodDef].rows; rid++ {
		name, err := img.meta.fullMethodName(rid, "")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	want := []string{
		"IRock.Split", "Slate..ctor", "Slate.Split", "Quarry.Jitter", "Quarry.SlateLeaf", "Quarry.ChalkLeaf", "Quarry.FlintLeaf",
		"Quarry.ChalkDig", "Quarry.FlintKnap", "Quarry.Shift", "Quarry.Number", "Quarry.Main", "Quarry..cctor", "Quarry.<Shift>m__0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestMappedImage reads the assembly as the loader maps it, section by section.
func TestMappedImage(t *testing.T) {
	t.Parallel()
	file := assembly(t)
	img, err := openImage(fakeMemory{imageBase: file}.memory(), imageBase)
	if err != nil {
		t.Fatal(err)
	}
	mapped := make([]byte, img.size)
	copy(mapped, file[:0x200])
	for _, s := range img.sections {
		copy(mapped[s.rva:], file[s.offset:s.offset+s.fileSize])
	}
	img, err = openImage(fakeMemory{imageBase: mapped}.memory(), imageBase)
	if err != nil {
		t.Fatal(err)
	}
	if img.flat {
		t.Error("a mapped image was taken for the file as it is")
	}
	if name, err := img.meta.fullMethodName(8, ""); name != "Quarry.ChalkDig" {
		t.Errorf("method 8 is %q, %v", name, err)
	}
}

// TestFindRoot finds metadata by the address of a string in it.
func TestFindRoot(t *testing.T) {
	t.Parallel()
	file := assembly(t)
	root := bytes.Index(file, []byte("BSJB"))
	name := bytes.Index(file, []byte("ChalkDig"))
	padded := append(append(make([]byte, 0x30000), file...), make([]byte, 0x1000)...)
	i := instance{mem: fakeMemory{imageBase - 0x30000: padded}.memory()}
	got, err := i.findRoot(imageBase + uint64(name))
	if want := imageBase + uint64(root); got != want || err != nil {
		t.Errorf("got 0x%x, %v, want 0x%x", got, err, want)
	}
	i.mem = noisy(7)
	if _, err := i.findRoot(imageBase); err == nil {
		t.Error("found metadata in noise")
	}
}

func TestDamagedImage(t *testing.T) {
	t.Parallel()
	for _, b := range damaged(assembly(t), 3) {
		exercise(fakeMemory{imageBase: b}.memory())
	}
	for seed := range uint64(50) {
		exercise(noisy(seed))
	}
}

// exercise reads everything of an image, which may be anything.
func exercise(mem process.Memory) {
	img, err := openImage(mem, imageBase)
	if err != nil {
		return
	}
	for rid := uint32(1); rid <= min(img.meta.tables[tableMethodDef].rows, 64); rid++ {
		_, _ = img.meta.fullMethodName(rid, "")
		_, _ = img.meta.member(rid, signatureMemberRef, "")
		for tag := range uint32(4) {
			_, _ = img.meta.token(rid<<2|tag, 0)
		}
	}
	_, _ = readEntries(img)
	_, _ = img.function(imageBase+0x1000, 1)
	_, _ = img.genericName(0x2000)
}

func FuzzImage(f *testing.F) {
	f.Add(assembly(f))
	f.Fuzz(func(_ *testing.T, b []byte) { exercise(fakeMemory{imageBase: b}.memory()) })
}

func TestInstantiate(t *testing.T) {
	t.Parallel()
	f := func(name string, args []string, want string) {
		t.Helper()
		if got := instantiate(name, args); got != want {
			t.Errorf("%s with %v is %q, want %q", name, args, got, want)
		}
	}
	f("System.Action", nil, "System.Action")
	f("List`1", nil, "List`1")
	f("List`1", []string{"int"}, "List<int>")
	f("Dictionary`2.Enumerator", []string{"K", "V"}, "Dictionary<K, V>.Enumerator")
	f("Outer`1.Inner`1", []string{"A", "B"}, "Outer<A>.Inner<B>")
	f("Outer`1.Inner", []string{"A", "B"}, "Outer<A>.Inner<B>")
	f("Odd`99999999", []string{"A"}, "Odd<A>")
	if got := instantiate("L`1", []string{strings.Repeat("x", 5000)}); len(got) > maxName+4 {
		t.Errorf("name of %d bytes", len(got))
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	img, err := openImage(fakeMemory{imageBase: assembly(t)}.memory(), imageBase)
	if err != nil {
		t.Fatal(err)
	}
	f := func(want string, b ...byte) {
		t.Helper()
		s := signature{b: b, meta: img.meta}
		if got := s.typ(0); got != want || s.bad || s.at != len(b) {
			t.Errorf("% x is %q (bad: %v, read %d), want %q", b, got, s.bad, s.at, want)
		}
	}
	f("int", 0x08)
	f("string[]", 0x1d, 0x0e)
	f("byte*", 0x0f, 0x05)
	f("long&", 0x10, 0x0a)
	f("System.__Canon", 0x3e)
	f("Slate", 0x12, 3<<2)                                           // the second type after <Module> and the interface
	f("Slate<int, System.__Canon>", 0x15, 0x12, 3<<2, 2, 0x08, 0x3e) // not generic, but this is no compiler
	f("T1", 0x13, 1)
	f("M0", 0x1e, 0)
	f("int[,]", 0x14, 0x08, 2, 0, 0)
	f("?", 0x3f, 5, 0x12, 3<<2)
	f("void(int, bool)*", 0x1b, 0x00, 2, 0x01, 0x08, 0x02)

	deep := signature{b: bytes.Repeat([]byte{elementSimpleArray}, 1000)}
	if deep.typ(0); !deep.bad {
		t.Error("a signature without end was accepted")
	}
}

func FuzzSignature(f *testing.F) {
	f.Add([]byte{0x15, 0x12, 0x0c, 2, 0x08, 0x3e})
	f.Add([]byte{0x40, 0x12, 0x0c, 0x05})
	b := assembly(f)
	f.Fuzz(func(t *testing.T, sig []byte) {
		img, err := openImage(fakeMemory{imageBase: b}.memory(), imageBase)
		if err != nil {
			t.Fatal(err)
		}
		s := signature{b: sig, meta: img.meta}
		s.typ(0)
		s = signature{b: sig}
		s.method(img.meta)
		if s.at > len(sig) {
			t.Errorf("read %d of %d bytes", s.at, len(sig))
		}
	})
}

// TestBlobSizes reads the three lengths of compressed numbers.
func TestBlobSizes(t *testing.T) {
	t.Parallel()
	for want, b := range map[uint32][]byte{0x7f: {0x7f}, 0x80: {0x80, 0x80}, 0x3fff: {0xbf, 0xff}, 0x4000: {0xc0, 0, 0x40, 0}} {
		if s := (signature{b: b}); s.number() != want || s.bad {
			t.Errorf("% x is not %d", b, want)
		}
	}
	if s := (signature{b: []byte{0xff, 1, 2, 3}}); s.number() != 0 || !s.bad {
		t.Error("a number of an unknown length was accepted")
	}
}
