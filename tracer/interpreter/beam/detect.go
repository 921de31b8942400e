// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"runtime"
	"sync"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Names of the emulator that are needed.
var needed = []string{
	"the_active_code_index", "erts_atom_table", "beam_normal_exit", "erts_proc",
	"erts_aligned_scheduler_data", "erts_frame_layout",
	"erts_get_scheduler_data", "erts_dirty_process_main", "process_main",
}

// executable is what a file tells: ELF virtual addresses.
type executable struct {
	version string
	symbols map[string]pfelf.Symbol
	// tsdKey holds the key under which a scheduler thread finds its data.
	tsdKey uint64
	// mainReturn is where process_main would return to.
	mainReturn uint64
	// data are the writable segments.
	data  []segment
	dirty interpreter.Range

	mu    sync.Mutex
	found *layout // of the first process that was attached
}

type segment struct{ start, size uint64 }

// Detect implements [interpreter.Runtime]. The interface for native functions is
// exported by every emulator and defined by nothing else.
func (Runtime) Detect(e *interpreter.Executable) (interpreter.Binary, error) {
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, ok := f.ExportedSymbol("enif_priv_data"); !ok {
		return nil, nil //nolint:nilnil // as the contract has it
	}
	if _, ok := f.ExportedSymbol("driver_system_info"); !ok {
		return nil, nil //nolint:nilnil // as the contract has it
	}
	x, err := read(f)
	if err != nil {
		return nil, err
	}
	return x, nil
}

func unsupported(version, reason string) error {
	return &interpreter.UnsupportedError{Runtime: name, Version: version, Reason: reason}
}

func read(f *pfelf.File) (*executable, error) {
	x := &executable{version: "unknown", symbols: symbols(f)}
	if s, ok := x.symbols["etp_otp_release"]; ok {
		x.version = text(f, s)
		if erts, ok := x.symbols["etp_erts_version"]; ok {
			x.version += " (erts " + text(f, erts) + ")"
		}
	}
	if f.Machine != elf.EM_X86_64 || runtime.GOARCH != "amd64" { // the registers are others
		return nil, unsupported(x.version, "only x86-64 is supported")
	}
	for _, n := range needed {
		if _, ok := x.symbols[n]; !ok {
			return nil, unsupported(x.version, "symbols were stripped, and OTP 29 and later export none")
		}
	}
	var jit [4]byte
	if _, err := f.ReadVaddr(jit[:], x.symbols["etp_beamasm"].Value); err != nil || binary.LittleEndian.Uint32(jit[:]) == 0 {
		return nil, unsupported(x.version, "built without the compiler (emu flavour)")
	}
	var ok bool
	if x.tsdKey, ok = tsdKey(f, x.symbols["erts_get_scheduler_data"]); !ok {
		return nil, unsupported(x.version, "accessor of the scheduler's data not understood")
	}
	if x.mainReturn, ok = findCall(f, x.symbols["process_main"].Value); !ok {
		return nil, unsupported(x.version, "caller of process_main not found")
	}
	dirty := x.symbols["erts_dirty_process_main"]
	if off, ok := f.VaddrToOffset(dirty.Value); ok {
		x.dirty = interpreter.Range{Start: off, End: off + dirty.Size, Tag: tagDirtyMain}
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_W != 0 {
			x.data = append(x.data, segment{p.Vaddr, p.Memsz})
		}
	}
	return x, nil
}

// symbols finds what is needed among the exported symbols or, when the emulator
// exports its interfaces only, as from OTP 29 on, in the symbol table.
func symbols(f *pfelf.File) map[string]pfelf.Symbol {
	out := map[string]pfelf.Symbol{}
	names := append([]string{"etp_otp_release", "etp_erts_version", "etp_beamasm"}, needed...)
	for _, n := range names {
		if s, ok := f.ExportedSymbol(n); ok {
			out[n] = s
		}
	}
	if len(out) == len(names) {
		return out
	}
	_ = f.EachSymbol(func(n []byte, s pfelf.Symbol) bool {
		for _, want := range names {
			if string(n) == want {
				out[want] = s
			}
		}
		return len(out) < len(names)
	})
	return out
}

// text reads a constant string.
func text(f *pfelf.File, s pfelf.Symbol) string {
	b := make([]byte, min(s.Size, 32))
	if _, err := f.ReadVaddr(b, s.Value); err != nil {
		return "?"
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	return process.Clean(b)
}

// tsdKey finds the variable that erts_get_scheduler_data() hands to
// pthread_getspecific().
func tsdKey(f *pfelf.File, s pfelf.Symbol) (uint64, bool) {
	code := make([]byte, 32)
	if _, err := f.ReadVaddr(code, s.Value); err != nil {
		return 0, false
	}
	return keyVariable(code, s.Value)
}

// keyVariable finds mov edi, [rip + x] in code that is at the given address.
func keyVariable(code []byte, at uint64) (uint64, bool) {
	i := bytes.Index(code, []byte{0x8b, 0x3d})
	if i < 0 || i+6 > len(code) {
		return 0, false
	}
	return relative(at+uint64(i), code[i+2:], 6), true //nolint:gosec // an index
}

// relative is the address that an instruction of the given length refers to by a
// distance of 4 bytes.
func relative(at uint64, distance []byte, length uint64) uint64 {
	return at + length + uint64(int64(int32(binary.LittleEndian.Uint32(distance)))) //nolint:gosec // wraps as the processor does
}

const (
	maxText   = 64 << 20
	textChunk = 1 << 20
)

// findCall finds the only call of a function and returns where it returns to.
func findCall(f *pfelf.File, target uint64) (uint64, bool) {
	var found uint64
	n := 0
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 {
			continue
		}
		buf := make([]byte, min(p.Filesz, textChunk))
		for off := uint64(0); off+5 <= min(p.Filesz, maxText); off += textChunk - 4 {
			b := buf[:min(p.Filesz-off, textChunk)]
			if _, err := f.ReadVaddr(b, p.Vaddr+off); err != nil {
				break
			}
			calls(b, p.Vaddr+off, target, func(ret uint64) {
				found = ret
				n++
			})
		}
	}
	return found, n == 1
}

// calls finds the instructions in code at the given address that call a function.
func calls(code []byte, at, target uint64, found func(ret uint64)) {
	for i := 0; i+5 <= len(code); i++ {
		j := bytes.IndexByte(code[i:], 0xe8)
		if j < 0 || i+j+5 > len(code) {
			return
		}
		i += j
		if relative(at+uint64(i), code[i+1:], 5) == target { //nolint:gosec // an index
			found(at + uint64(i) + 5) //nolint:gosec // an index
		}
	}
}

// Version implements [interpreter.Binary].
func (x *executable) Version() string { return x.version }

// Ranges implements [interpreter.Binary].
func (x *executable) Ranges() []interpreter.Range {
	if x.dirty.End == x.dirty.Start {
		return nil
	}
	return []interpreter.Range{x.dirty}
}
