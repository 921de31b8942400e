// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"fmt"

	"github.com/strobe-profiler/strobe/libpf"
)

// A stack is stored as two bytes that say so, the number of its frames, and for
// each frame, leaf first:
//
//	tag    uvarint: number of the file << 2 | type follows << 1 | texts follow.
//	       Files are numbered from 1 as they first come in the stack, 0 is none.
//	       The first bit of the two is set when the type is not that of the frame before.
//	file   16 bytes, when the number is new
//	type   1 byte, when it follows
//	delta  varint: address or line, less that of the last frame of the file
//	texts  function, source file, source line, when they follow
//
// Frames of one file lie close together, and equal runs of frames have equal
// bytes in all stacks but for the first, which is what makes blocks of stacks small.
// Maintenance moves stacks into packs, see stackpack.go: what is left is two bytes that
// say so, and as uvarints the number of the pack and the place in it.
// What was stored before began with the number of frames, which was never 0, and
// held type, file, address and texts of each in full.
const (
	stackMark    = 0
	stackVersion = 1
	stackPacked  = 2
)

// frameFiles numbers the files of a stack. Stacks have few.
type frameFiles struct {
	ids  []libpf.FileID
	last []uint64 // address of the last frame
	// room for what most stacks have
	idRoom   [8]libpf.FileID
	lastRoom [9]uint64
}

func (f *frameFiles) reset() {
	f.ids, f.last = f.idRoom[:0], append(f.lastRoom[:0], 0) // the first is that of no file
}

// number returns the number of a file and whether it is new.
func (f *frameFiles) number(id libpf.FileID) (n int, isNew bool) {
	if id.IsZero() {
		return 0, false
	}
	for i := range f.ids {
		if f.ids[i] == id {
			return i + 1, false
		}
	}
	f.add(id)
	return len(f.ids), true
}

func (f *frameFiles) add(id libpf.FileID) {
	f.ids, f.last = append(f.ids, id), append(f.last, 0)
}

// appendFrames appends the frames of a stack.
func appendFrames(b []byte, frames []libpf.Frame) []byte {
	var files frameFiles
	files.reset()
	b = append(b, stackMark, stackVersion)
	b = binary.AppendUvarint(b, uint64(len(frames)))
	kind := libpf.UnknownFrame
	for i := range frames {
		f := &frames[i]
		file, isNew := files.number(f.FileID)
		b = appendFrame(b, f, file, isNew, &files.last[file], &kind)
	}
	return b
}

// appendFrame appends a frame of a file with a number, behind one of another kind or address.
func appendFrame(b []byte, f *libpf.Frame, file int, isNew bool, last *uint64, kind *libpf.FrameType) []byte {
	tag := uint64(file) << 2 //nolint:gosec // not negative
	if f.Type != *kind {
		tag |= 2
	}
	named := f.FunctionName != "" || f.SourceFile != "" || f.SourceLine != 0
	if named {
		tag |= 1
	}
	b = binary.AppendUvarint(b, tag)
	if isNew {
		b = f.FileID.AppendBytes(b)
	}
	if f.Type != *kind {
		*kind = f.Type
		b = append(b, byte(f.Type))
	}
	b = binary.AppendVarint(b, int64(uint64(f.AddressOrLineno)-*last)) //nolint:gosec // wraps both ways
	*last = uint64(f.AddressOrLineno)
	if named {
		b = appendString(b, f.FunctionName)
		b = appendString(b, f.SourceFile)
		b = binary.AppendUvarint(b, uint64(f.SourceLine))
	}
	return b
}

// frame reads what follows the tag, and the file when that is new.
func (d *decoder) frame(f *libpf.Frame, tag uint64, last *uint64, kind *libpf.FrameType) {
	if tag&2 != 0 {
		*kind = libpf.FrameType(d.byte())
	}
	f.Type = *kind
	*last += uint64(d.varint()) //nolint:gosec // wraps both ways
	f.AddressOrLineno = libpf.AddressOrLineno(*last)
	if tag&1 != 0 {
		f.FunctionName = d.string()
		f.SourceFile = d.string()
		f.SourceLine = libpf.SourceLineno(d.uvarint())
	}
}

// decodeFrames is the inverse of appendFrames.
func decodeFrames(b []byte) ([]libpf.Frame, error) { return decodeFramesIn(nil, b) }

// decodeFramesIn is decodeFrames in the memory of other frames.
func decodeFramesIn(room []libpf.Frame, b []byte) ([]libpf.Frame, error) {
	d := decoder{b: b}
	if len(b) < 2 || b[0] != stackMark {
		return d.framesInFull(), d.err
	}
	if b[1] != stackVersion {
		return nil, fmt.Errorf("%w: stack has version %d, this program reads %d", errCodec, b[1], stackVersion)
	}
	d.b = b[2:]
	var files frameFiles
	files.reset()
	kind := libpf.UnknownFrame
	if room == nil {
		room = []libpf.Frame{}
	}
	frames := resize(room, d.count(2))
	for i := range frames {
		f := &frames[i]
		tag := d.uvarint()
		file := tag >> 2
		if file == uint64(len(files.last)) {
			files.add(libpf.FileID{Hash128: d.hash()})
		} else if file > uint64(len(files.last)) {
			return nil, fmt.Errorf("%w: file %d of a stack of %d", errCodec, file, len(files.ids))
		}
		if file > 0 {
			f.FileID = files.ids[file-1]
		}
		d.frame(f, tag, &files.last[file], &kind)
		if d.err != nil {
			return nil, d.err
		}
	}
	return frames, d.err
}

// framesInFull reads a stack as it was stored before.
func (d *decoder) framesInFull() []libpf.Frame {
	frames := make([]libpf.Frame, d.count(21))
	for i := range frames {
		f := &frames[i]
		f.Type = libpf.FrameType(d.byte())
		f.FileID = libpf.FileID{Hash128: d.hash()}
		f.AddressOrLineno = libpf.AddressOrLineno(d.uvarint())
		f.FunctionName = d.string()
		f.SourceFile = d.string()
		f.SourceLine = libpf.SourceLineno(d.uvarint())
	}
	return frames
}
