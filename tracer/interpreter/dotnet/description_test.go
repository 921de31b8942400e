// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// text is a part of what .NET 10.0.11 says, with some values changed.
const text = `{"version":0,"baseline":"empty","types":{"Module":{"Assembly":248,"Base":240,"Path":200},` +
	`"RangeSection":{"RangeBegin":0,"RangeEndOpen":8,"NextForDelete":64,"JitManager":24,"Flags":16,"HeapList":48,"R2RModule":32},` +
	`"RealCodeHeader":{"MethodDesc":24,"GCInfo":16,"NumUnwindInfos":[40,"uint32"],"UnwindInfos":44},` +
	`"CodeHeapListNode":{"Next":0,"StartAddress":16,"EndAddress":24,"MapBase":32,"HeaderMap":40},"GCHandle":{"!":8}},` +
	`"globals":{"MethodDescTokenRemainderBitCount":["0xb","uint8"],"ObjectHeaderSize":"0x8",` +
	`"ThreadStore":[[1],"pointer"],"ExecutionManagerCodeRangeMapAddress":[[2],"pointer"],"Beyond":[[9],"pointer"]},` +
	`"contracts":{"ExecutionManager":2}}`

func described(text string, pointers ...uint64) fakeMemory {
	head := words(descriptionMagic, 0, 0x2000, uint64(len(pointers)), 0x8000)
	binary.LittleEndian.PutUint32(head[12:], uint32(len(text))) //nolint:gosec // short
	return fakeMemory{0x1000: head, 0x2000: []byte(text), 0x8000: words(pointers...)}
}

func TestDescription(t *testing.T) {
	t.Parallel()
	d, err := readDescription(described(text, 0, 0x1111, 0x2222).memory(), 0x1000)
	if err != nil {
		t.Fatal(err)
	}
	l, err := layoutOf(10)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.describe(d); err != nil {
		t.Fatal(err)
	}
	if l.module.base != 240 || l.section.heap != 48 || l.code.functions != 40 || l.method.tokenBits != 11 {
		t.Errorf("layout %+v", l)
	}
	if p, ok := d.pointer("ExecutionManagerCodeRangeMapAddress"); p != 0x2222 || !ok {
		t.Errorf("pointer 0x%x", p)
	}
	for _, name := range []string{"Beyond", "None", "ObjectHeaderSize"} {
		if _, ok := d.pointer(name); ok {
			t.Errorf("%s is no pointer that is there", name)
		}
	}
	if n, ok := d.number("ObjectHeaderSize"); n != 8 || !ok {
		t.Errorf("number %d", n)
	}
}

// TestOddDescription refuses what the eBPF program could not use.
func TestOddDescription(t *testing.T) {
	t.Parallel()
	for _, s := range []string{`{"types":{"RangeSection":{"RangeBegin":4000}}}`, `{"types":{"RealCodeHeader":{"NumUnwindInfos":3}}}`} {
		d, err := parseDescription([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		l, err := layoutOf(9)
		if err != nil {
			t.Fatal(err)
		}
		if l.describe(d) == nil {
			t.Errorf("%s was accepted", s)
		}
	}
	for _, b := range damaged([]byte(text), 5) {
		if d, err := readDescription(described(string(b), 1, 2).memory(), 0x1000); err == nil {
			l, _ := layoutOf(9)
			_ = l.describe(d)
		}
	}
	if _, err := readDescription(noisy(1), 0x1000); err == nil {
		t.Error("noise was accepted")
	}
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte(text))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseDescription(bytes.Clone(b))
		if err != nil {
			return
		}
		l, err := layoutOf(10)
		if err != nil {
			t.Fatal(err)
		}
		if l.describe(d) == nil && l.check() != nil {
			t.Error("a layout that cannot be was accepted")
		}
		_, _ = d.pointer("ExecutionManagerCodeRangeMapAddress")
	})
}

func TestVersions(t *testing.T) {
	t.Parallel()
	f := func(s, want string, major int) {
		t.Helper()
		got, n, err := parseVersion(s)
		if got != want || n != major || (err != nil) != (want == "") {
			t.Errorf("%s is %s (%d), %v", s, got, n, err)
		}
	}
	f("9.0.525.21509", "9.0.5", 9)
	f("10.0.1126.37416", "10.0.11", 10)
	f("8.0.23.53103", "8.0.0", 8)
	f("6", "", 0)
	f("a.b.c", "", 0)
	if _, err := layoutOf(5); err == nil {
		t.Error(".NET 5 has a layout")
	}
}
