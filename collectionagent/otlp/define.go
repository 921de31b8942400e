// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Known says what need not be defined again. Symbols and executables are asked
// for by their content, so that a better name is not taken for a known one.
type Known interface {
	// Whole returns the hash of a stack by its content, which is that of the frames
	// and of all their names, when all of that is known.
	Whole(hi, lo uint64) (libpf.TraceHash, bool)
	Stack(libpf.TraceHash) bool
	Symbol(hi, lo uint64) bool
	Executable(hi, lo uint64) bool
}

// chunkBytes is about how much memory definitions take that are handed over at once.
const chunkBytes = 2 << 20

// definedFrameBytes is about how much a frame of a stack takes that is defined.
const definedFrameBytes = 104 + 64

// Definitions hands what the samples refer to and is not known to yield, in parts
// of a few megabytes, until yield returns an error. A nil Known knows nothing, not
// even what that of [Message.Decode] did.
func (r *Request) Definitions(known Known, yield func(*store.Definitions) error) error {
	d := r.d
	w := &writer{Message: d, yield: yield, next: &store.Definitions{Project: d.Project}}
	for i := range d.hashes {
		s := &d.hashes[i]
		if !s.done || (known != nil && (s.known || known.Stack(s.hash))) {
			continue
		}
		frames := d.framesOf(i)
		w.next.Stacks = append(w.next.Stacks, store.Stack{Hash: s.hash, Frames: frames})
		bytes := definedFrameBytes * len(frames)
		for j := range frames {
			bytes += len(frames[j].FunctionName) + len(frames[j].SourceFile)
		}
		if err := w.wrote(bytes); err != nil {
			return err
		}
	}
	var b []byte
	for _, n := range d.symbols.list {
		if known != nil && d.places[n.location].known {
			continue
		}
		b = d.appendSymbol(b[:0], n.id, n.location)
		h := xxh3.Hash128(b)
		if known != nil && known.Symbol(h.Hi, h.Lo) {
			continue
		}
		lines := d.sourceLines(n.location)
		w.next.Symbols = append(w.next.Symbols, store.Symbol{Frame: n.id, Lines: lines})
		bytes := 0
		for j := range lines {
			bytes += 100 + len(lines[j].Function) + len(lines[j].SystemName) + len(lines[j].File)
		}
		if err := w.wrote(bytes); err != nil {
			return err
		}
	}
	for i := range d.files {
		e := &d.files[i].executable
		if e.FileID.IsZero() || (e.FileName == "" && e.BuildID == "") {
			continue
		}
		if hi, lo := ExecutableKey(e); known != nil && known.Executable(hi, lo) {
			continue
		}
		w.next.Executables = append(w.next.Executables, *e)
		if err := w.wrote(100 + len(e.FileName) + len(e.BuildID) + len(e.Runtime)); err != nil {
			return err
		}
	}
	return w.flush()
}

// Wholes yields the contents of the stacks that were not known as a whole. Once
// all definitions are stored they are.
func (r *Request) Wholes(yield func(hi, lo uint64, hash libpf.TraceHash)) {
	for i := range r.d.hashes {
		if s := &r.d.hashes[i]; s.done && !s.known && s.key != (contentKey{}) {
			yield(s.key.hi, s.key.lo, s.hash)
		}
	}
}

// writer collects definitions.
type writer struct {
	*Message
	yield func(*store.Definitions) error
	next  *store.Definitions
	bytes int
	// charged is how large the largest part was, for which memory was asked.
	charged int
}

// wrote charges for what was collected, as far as it is more than any part before, and hands it
// over when it is enough. Texts count wherever they are shared: stores write each.
func (w *writer) wrote(bytes int) error {
	w.bytes += bytes
	if more := w.bytes - w.charged; more > 0 {
		w.charged = w.bytes
		if err := w.charge("dictionary", 1, int64(more)); err != nil {
			return err
		}
	}
	if w.bytes < chunkBytes {
		return nil
	}
	return w.flush()
}

func (w *writer) flush() error {
	d := w.next
	if len(d.Stacks) == 0 && len(d.Symbols) == 0 && len(d.Executables) == 0 {
		return nil
	}
	w.next, w.bytes = &store.Definitions{Project: w.Project}, 0
	return w.yield(d)
}

// sourceLines returns the names that a location gives its frame.
func (d *Message) sourceLines(i int32) []libpf.SourceLine {
	raw := d.linesAt(i)
	lines := make([]libpf.SourceLine, len(raw))
	for j := range raw {
		f := &d.functions[raw[j].function]
		lines[j] = libpf.SourceLine{
			Function: d.textOf(f.name), SystemName: d.textOf(f.system), File: d.textOf(f.file),
			Line: libpf.SourceLineno(raw[j].line), StartLine: libpf.SourceLineno(f.startLine), //nolint:gosec // not negative
		}
	}
	return lines
}

// appendSymbol appends what is hashed of a symbol.
func (d *Message) appendSymbol(b []byte, id libpf.FrameID, i int32) []byte {
	key := id.Bytes()
	b = append(b, key[:]...)
	for _, l := range d.linesAt(i) {
		b = binary.LittleEndian.AppendUint64(b, d.sums[l.function])
		b = binary.LittleEndian.AppendUint64(b, uint64(l.line)) //nolint:gosec // not negative
	}
	return b
}

// functionSum returns the hash of a function, and a buffer to use again.
func functionSum[T string | []byte](b []byte, name, system, file T, startLine uint64) (sum uint64, scratch []byte) {
	b = b[:0]
	for _, text := range [...]T{name, system, file} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(text))) //nolint:gosec // bounded
		b = append(b, text...)
	}
	b = binary.LittleEndian.AppendUint64(b, startLine)
	return xxh3.Hash(b), b
}

// SymbolKey returns what [Known] is asked for of a symbol.
func SymbolKey(s *store.Symbol) (hi, lo uint64) {
	key := s.Frame.Bytes()
	b := append([]byte(nil), key[:]...)
	var scratch []byte
	for i := range s.Lines {
		l := &s.Lines[i]
		var sum uint64
		sum, scratch = functionSum(scratch, l.Function, l.SystemName, l.File, uint64(l.StartLine))
		b = binary.LittleEndian.AppendUint64(b, sum)
		b = binary.LittleEndian.AppendUint64(b, uint64(l.Line))
	}
	h := xxh3.Hash128(b)
	return h.Hi, h.Lo
}

// ExecutableKey returns what [Known] is asked for of an executable.
func ExecutableKey(e *libpf.Executable) (hi, lo uint64) {
	h := xxh3.HashString128(e.FileID.String() + "\x00" + e.FileName + "\x00" + e.BuildID + "\x00" + e.Runtime)
	return h.Hi, h.Lo
}
