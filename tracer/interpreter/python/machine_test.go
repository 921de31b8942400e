// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

var (
	v27  = version{2, 7, 18}
	v311 = version{3, 11, 2}
	v312 = version{3, 12, 1}
)

// TestKeys reads the functions as the compilers of several builds wrote them.
func TestKeys(t *testing.T) {
	t.Parallel()
	const state = 0x900000
	for name, c := range map[string]struct {
		v    version
		code []byte
		want uint64
	}{
		// cmpq $0, autoInterpreterState(%rip); je; mov autoTLSkey(%rip), %edi; jmp PyThread_get_key_value
		"key in a variable": {v27, []byte{0x48, 0x83, 0x3d, 0x38, 7, 0x0e, 0, 0, 0x74, 0x0e, 0x8b, 0x3d, 0x28, 7, 0x0e, 0, 0xe9, 0, 0, 0, 0, 0x31, 0xc0, 0xc3}, imageBase + 0x10 + 0xe0728},
		// mov autoTLSkey(%rip), %edi, where that comes before the code; jmp PyThread_get_key_value
		"key before the code": {v27, []byte{0x8b, 0x3d, 0xf0, 0xff, 0xff, 0xff, 0xe9, 0, 0, 0, 0}, imageBase + 6 - 0x10},
		// mov _PyRuntime@GOT(%rip), %rax; cmpq $0, 0x248(%rax); je; lea 0x250(%rax), %rdi; jmp PyThread_tss_get
		"member of the runtime": {v311, []byte{0x48, 0x8b, 5, 9, 0xd8, 0x1a, 0, 0x48, 0x83, 0xb8, 0x48, 2, 0, 0, 0, 0x74, 0x0f, 0x48, 0x8d, 0xb8, 0x50, 2, 0, 0, 0xe9, 0, 0, 0, 0}, state + 0x254},
		// mov _PyRuntime@GOT(%rip), %rax; push %rbx; lea 0x608(%rax), %rbx; mov %rbx, %rdi; call PyThread_tss_is_created
		"kept over a call": {v312, []byte{0x48, 0x8b, 5, 9, 0xd8, 0x1a, 0, 0x53, 0x48, 0x8d, 0x98, 8, 6, 0, 0, 0x48, 0x89, 0xdf, 0xe8, 0, 0, 0, 0}, state + 0x60c},
		// endbr64; mov $0x900600, %edi; jmp PyThread_tss_get
		"at a fixed address": {v311, []byte{0xf3, 0x0f, 0x1e, 0xfa, 0xbf, 0, 6, 0x90, 0, 0xe9, 0, 0, 0, 0}, state + 0x604},
		// mov _PyRuntime@GOT(%rip), %rdi; add $0x250, %rdi; jmp
		"added to":   {v311, []byte{0x48, 0x8b, 0x3d, 9, 0xd8, 0x1a, 0, 0x48, 0x81, 0xc7, 0x50, 2, 0, 0, 0xe9, 0, 0, 0, 0}, state + 0x254},
		"no address": {v311, []byte{0x31, 0xff, 0xe9, 0, 0, 0, 0}, 0},
		"nothing":    {v311, []byte{0xff, 0xff, 0xff}, 0},
	} {
		f := elfImage(t, c.code, nil)
		if got := findKey(f, pfelf.Symbol{Value: imageBase, Size: uint64(len(c.code))}, state, c.v); got != c.want {
			t.Errorf("%s: key at %#x, want %#x", name, got, c.want)
		}
	}
	// mov _PyRuntime@GOT(%rip), %rax; mov 0x28(%rax), %rax; ret
	head := []byte{0x48, 0x8b, 5, 0xa9, 0xc5, 0x26, 0, 0x48, 0x8b, 0x40, 0x28, 0xc3}
	if got := findHead(elfImage(t, head, nil), pfelf.Symbol{Value: imageBase}, state); got != state+0x28 {
		t.Errorf("list of interpreters at %#x, want %#x", got, state+0x28)
	}
	// mov interp_head(%rip), %rax; ret
	head = []byte{0x48, 0x8b, 5, 0, 1, 0, 0, 0xc3}
	if got := findHead(elfImage(t, head, nil), pfelf.Symbol{Value: imageBase}, 0); got != imageBase+7+0x100 {
		t.Errorf("list of interpreters at %#x, want %#x", got, imageBase+7+0x100)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	// lea 9(%rip), %rdx; call; ret; then texts.
	content := append([]byte{0x48, 0x8d, 0x15, 9, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xc3, 0, 0, 0}, "3.8.18\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	f := elfImage(t, content, nil)
	if got := addresses(f, pfelf.Symbol{Value: imageBase, Size: 16}); !cmp.Equal(got, []uint64{imageBase + 16}) {
		t.Errorf("addresses %#x", got)
	}
	if got := versionAt(f, imageBase+16); got != (version{3, 8, 18}) {
		t.Errorf("version %v", got)
	}
	for name, want := range map[string]version{
		"libpython3.9.so.1.0": {3, 9, -1}, "libpython2.7.so": {2, 7, -1}, "python3.14": {3, 14, -1}, "blender": {},
	} {
		if got := readVersion(f, name); got != want {
			t.Errorf("version of %s is %v, want %v", name, got, want)
		}
	}
}

// TestLoopRanges finds the part that the compiler has moved away, and only that.
func TestLoopRanges(t *testing.T) {
	t.Parallel()
	content := make([]byte, 0x400)
	for i := range content {
		content[i] = 0x90
	}
	jump := func(at int, op []byte, to int) {
		n := copy(content[at:], op)
		binary.LittleEndian.PutUint32(content[at+n:], uint32(int32(to-(at+n+4)))) //nolint:gosec // small
	}
	je, jmp := []byte{0x0f, 0x84}, []byte{0xe9}
	jump(0x110, je, 0x20)   // to the moved part
	jump(0x120, je, 0x208)  // to a function that never jumps back: misread bytes
	jump(0x130, jmp, 0x300) // to another function's start
	jump(0x30, jmp, 0x150)  // back
	jump(0x310, jmp, 0x100) // another function ends with a call of the loop
	table := []byte{1, 0x1b, 3, 0x3b, 0, 0, 0, 0, 5, 0, 0, 0}
	for _, start := range []int{0, 0x100, 0x200, 0x300, 0x3f0} {
		table = binary.LittleEndian.AppendUint32(table, uint32(int32(start-len(content)))) //nolint:gosec // small
		table = binary.LittleEndian.AppendUint32(table, 0)
	}
	f := elfImage(t, content, table)
	const header = 64 + 2*56
	want := []interpreter.Range{{Start: header + 0x100, End: header + 0x200}, {Start: header, End: header + 0x100}}
	for _, size := range []uint64{0x100, 0} {
		if d := cmp.Diff(want, loopRanges(f, pfelf.Symbol{Value: imageBase + 0x100, Size: size})); d != "" {
			t.Errorf("size %d: %s", size, d)
		}
	}
	if got := loopRanges(elfImage(t, content, nil), pfelf.Symbol{Value: imageBase + 0x100, Size: 0x100}); len(got) != 1 {
		t.Errorf("without unwind information: %v", got)
	}
}

func FuzzMachine(f *testing.F) {
	f.Add([]byte{0x48, 0x8b, 5, 9, 0xd8, 0x1a, 0, 0x48, 0x8d, 0xb8, 0x50, 2, 0, 0, 0xe9, 0, 0, 0, 0}, []byte{1, 0x1b, 3, 0x3b, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, content, table []byte) {
		if len(content) > 1<<12 || len(table) > 1<<12 {
			return
		}
		file := elfImage(t, content, table)
		s := pfelf.Symbol{Value: imageBase, Size: uint64(len(content))}
		findKey(file, s, 1, v311)
		findHead(file, s, 1)
		addresses(file, s)
		readVersion(file, "python3")
		loopRanges(file, s)
		s.Size = 1 << 60
		loopRanges(file, s)
	})
}
