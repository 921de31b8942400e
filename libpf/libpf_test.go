// SPDX-License-Identifier: Apache-2.0

package libpf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestHash128Text(t *testing.T) {
	t.Parallel()
	want := NewHash128(0x0123456789abcdef, 0xfedcba9876543210)
	for _, s := range []string{
		"0123456789abcdeffedcba9876543210", "0x0123456789abcdeffedcba9876543210",
		"0123456789ABCDEFFEDCBA9876543210", "01234567-89ab-cdef-fedc-ba9876543210",
	} {
		if got, err := ParseHash128(s); err != nil || got != want {
			t.Errorf("ParseHash128(%q) = %v, %v", s, got, err)
		}
	}
	if got := want.String(); got != "0123456789abcdeffedcba9876543210" {
		t.Errorf("String() = %q", got)
	}
	for _, s := range []string{"", "12", strings.Repeat("g", 32), strings.Repeat("0", 33)} {
		if _, err := ParseHash128(s); !errors.Is(err, ErrHashFormat) {
			t.Errorf("ParseHash128(%q): error %v, want ErrHashFormat", s, err)
		}
	}
}

func TestHash128Bytes(t *testing.T) {
	t.Parallel()
	want := NewHash128(1, 2)
	b := want.Bytes()
	if got, err := Hash128FromBytes(b[:]); err != nil || got != want {
		t.Errorf("Hash128FromBytes = %v, %v", got, err)
	}
	if !bytes.Equal(want.AppendBytes(nil), b[:]) {
		t.Error("AppendBytes and Bytes differ")
	}
	if _, err := Hash128FromBytes(b[:15]); !errors.Is(err, ErrHashFormat) {
		t.Errorf("15 bytes: error %v", err)
	}
	if NewHash128(1, 2).Compare(NewHash128(1, 3)) >= 0 || NewHash128(2, 0).Compare(NewHash128(1, 9)) <= 0 ||
		want.Compare(want) != 0 {
		t.Error("Compare does not order by value")
	}
}

func TestHashesInJSON(t *testing.T) {
	t.Parallel()
	in := map[string]TraceHash{"a": NewTraceHash(1, 2)}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]TraceHash
	if err := json.Unmarshal(b, &out); err != nil || out["a"] != in["a"] {
		t.Errorf("%s became %v, %v", b, out, err)
	}
}

func TestFrameIDText(t *testing.T) {
	t.Parallel()
	id := NewFrameID(NewFileID(3, 4), 5)
	if got, err := ParseFrameID(id.String()); err != nil || got != id || len(id.String()) != 32 {
		t.Errorf("ParseFrameID(%q) = %v, %v", id, got, err)
	}
	if _, err := ParseFrameID("!"); !errors.Is(err, ErrHashFormat) {
		t.Errorf("error %v, want ErrHashFormat", err)
	}
}

// TestFileIDOfContent pins the definition with values computed by sha256sum.
func TestFileIDOfContent(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 4095, 4096, 5000, 8192, 100000} {
		content := bytes.Repeat([]byte{'x'}, size)
		id, err := FileIDFromReader(bytes.NewReader(content), int64(size))
		if err != nil {
			t.Fatal(err)
		}
		again, _ := FileIDFromReader(bytes.NewReader(content), int64(size))
		if id != again || id.IsZero() {
			t.Errorf("size %d: %v and %v", size, id, again)
		}
	}
	// printf '\0\0\0\0\0\0\0\0' | sha256sum | cut -c1-32
	id, err := FileIDFromReader(bytes.NewReader(nil), 0)
	if err != nil || id.String() != "af5570f5a1810b7af78caf4bc70a660f" {
		t.Errorf("ID of the empty file is %v, %v", id, err)
	}
	if _, err := FileIDFromReader(bytes.NewReader([]byte("short")), 8192); err == nil {
		t.Error("a file that is shorter than its size has an ID")
	}
}

func TestFileIDFromIdentity(t *testing.T) {
	t.Parallel()
	if FileIDFromIdentity("ab", "c") == FileIDFromIdentity("a", "bc") {
		t.Error("parts of an identity run into each other")
	}
}

func TestFrameTypes(t *testing.T) {
	t.Parallel()
	for i := range 256 {
		ft := FrameType(i)
		got, err := ParseFrameType(ft.String())
		if ft.Valid() != (err == nil) || err == nil && got != ft {
			t.Errorf("%d (%s, valid %v) parses as %d, %v", i, ft, ft.Valid(), got, err)
		}
	}
	if AbortFrame.String() != "abort-marker" || (PythonFrame|ErrorBit).String() != "python-error" {
		t.Error("names of markers changed")
	}
}

// TestTracesDoNotMerge changes one thing of a stack at a time: none of the
// results may have the same identity.
func TestTracesDoNotMerge(t *testing.T) {
	t.Parallel()
	base := Frame{
		Type: PythonFrame, FileID: NewFileID(1, 2), AddressOrLineno: 3,
		FunctionName: "alpha", SourceFile: "a.py", SourceLine: 10,
	}
	change := func(f func(*Frame)) []Frame {
		c := base
		f(&c)
		return []Frame{base, c}
	}
	stacks := map[string][]Frame{
		"one frame":  {base},
		"two frames": {base, base},
		"type":       change(func(f *Frame) { f.Type = RubyFrame }),
		"file ID":    change(func(f *Frame) { f.FileID = NewFileID(1, 3) }),
		"address":    change(func(f *Frame) { f.AddressOrLineno = 4 }),
		"function":   change(func(f *Frame) { f.FunctionName = "beta" }),
		"file":       change(func(f *Frame) { f.SourceFile = "b.py" }),
		"line":       change(func(f *Frame) { f.SourceLine = 11 }),
		"moved text": change(func(f *Frame) { f.FunctionName, f.SourceFile = "alphaa", ".py" }),
		"none":       {},
	}
	seen := map[TraceHash]string{}
	for name, frames := range stacks {
		h := HashTrace(frames)
		if other, ok := seen[h]; ok {
			t.Errorf("%q and %q have the same hash", name, other)
		}
		seen[h] = name
	}
	named := base
	named.Lines = []SourceLine{{Function: "found later"}}
	if HashTrace([]Frame{named}) != HashTrace([]Frame{base}) {
		t.Error("names that are found later change the identity")
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	const second = UnixTime32(1700000000)
	if second.UnixNano().Seconds() != second || second.String() != "2023-11-14T22:13:20Z" {
		t.Errorf("%v: %v, %v", second, second.UnixNano(), second.UnixNano().Seconds())
	}
}

func TestSampleTypes(t *testing.T) {
	t.Parallel()
	// Numbers and names are in stores and on the wire: they stay as they are.
	want := []string{
		"1 on_cpu nanoseconds", "2 off_cpu nanoseconds", "3 event count", "4 wall nanoseconds", "5 alloc_objects count", "6 alloc_space bytes",
		"7 inuse_objects count snapshot", "8 inuse_space bytes snapshot", "9 goroutines count snapshot", "10 threads count snapshot",
		"11 mutex_contentions count", "12 mutex_delay nanoseconds", "13 block_contentions count", "14 block_delay nanoseconds", "15 exceptions count",
	}
	var table []string
	for _, st := range SampleTypes() {
		got, err := ParseSampleType(st.String())
		if err != nil || got != st || !st.Valid() {
			t.Errorf("%v parses as %v, %v", st, got, err)
		}
		line := fmt.Sprint(uint8(st), " ", st, " ", st.Unit())
		if st.Snapshot() {
			line += " snapshot"
		}
		table = append(table, line)
	}
	if !slices.Equal(table, want) {
		t.Errorf("the table is %q", table)
	}
	for _, st := range []SampleType{0, SampleType(len(want) + 1), 255} {
		if st.Valid() || st.Unit() != "" || st.Snapshot() {
			t.Errorf("%v is accepted", st)
		}
	}
	for _, name := range []string{"", "x", "sampletype(0)"} {
		if _, err := ParseSampleType(name); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func BenchmarkHashTrace(b *testing.B) {
	frames := make([]Frame, 30)
	for i := range frames {
		frames[i] = Frame{Type: NativeFrame, FileID: NewFileID(1, 2), AddressOrLineno: AddressOrLineno(i)}
	}
	b.ReportAllocs()
	for b.Loop() {
		HashTrace(frames)
	}
}
