// SPDX-License-Identifier: Apache-2.0

package libpf

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"
)

// AddressOrLineno is a place inside a file: for native code the ELF virtual
// address, for the kernel the offset from the start of its or its module's
// text, for interpreted code what the interpreter counts in (a line or a
// bytecode offset).
type AddressOrLineno uint64

// SourceLineno is a line of a source file, counted from 1; 0 is unknown.
type SourceLineno uint64

// FrameID names a place in code: a file and an address in it. It is the key
// under which the names of a native frame are kept.
type FrameID struct {
	FileID          FileID
	AddressOrLineno AddressOrLineno
}

// NewFrameID returns the frame ID for an address in a file.
func NewFrameID(file FileID, addr AddressOrLineno) FrameID {
	return FrameID{FileID: file, AddressOrLineno: addr}
}

// FrameIDFromBytes reads a frame ID from its 24-byte form.
func FrameIDFromBytes(b []byte) (FrameID, error) {
	if len(b) != 24 {
		return FrameID{}, fmt.Errorf("%w: frame ID of %d bytes instead of 24", ErrHashFormat, len(b))
	}
	file, err := FileIDFromBytes(b[:16])
	return NewFrameID(file, AddressOrLineno(binary.BigEndian.Uint64(b[16:]))), err
}

// ParseFrameID is the inverse of [FrameID.String].
func ParseFrameID(s string) (FrameID, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return FrameID{}, fmt.Errorf("%w: frame ID %q: %w", ErrHashFormat, s, err)
	}
	return FrameIDFromBytes(b)
}

// Bytes returns the 24-byte form: file ID, then the address, big endian.
func (id FrameID) Bytes() (b [24]byte) {
	id.FileID.AppendBytes(b[:0])
	binary.BigEndian.PutUint64(b[16:], uint64(id.AddressOrLineno))
	return b
}

// Hash32 folds the ID to 32 bits, for hash tables.
func (id FrameID) Hash32() uint32 {
	b := id.Bytes()
	return uint32(xxh3.Hash(b[:])) //nolint:gosec // folding is the point
}

// String returns the 32 characters of the unpadded URL-safe base64 form.
func (id FrameID) String() string {
	b := id.Bytes()
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// SourceLine is one source position that a frame stands for. A native address
// inside inlined code stands for several.
type SourceLine struct {
	// Function is the name as a person reads it: demangled, with its package
	// or class.
	Function string
	// SystemName is the name as the linker knows it, when it differs.
	SystemName string
	// File is the path of the source file, "" when unknown.
	File string
	// Line is the line being executed, 0 when unknown.
	Line SourceLineno
	// StartLine is the line the function starts on, 0 when unknown.
	StartLine SourceLineno
}

// Frame is one frame of a stack.
type Frame struct {
	// Type, FileID and AddressOrLineno are always part of the identity.
	Type            FrameType
	FileID          FileID
	AddressOrLineno AddressOrLineno
	// FunctionName, SourceFile and SourceLine are set here, and are then part
	// of the identity, when the frame was named as it was captured: in
	// interpreted and JIT-compiled code, and in error frames. They are empty
	// for native and kernel frames, whose names are in Lines.
	FunctionName string
	SourceFile   string
	SourceLine   SourceLineno
	// Lines are the names found for the frame's address, innermost inlined
	// function first. They follow from FileID and AddressOrLineno and are no
	// part of the identity.
	Lines []SourceLine
}

// ID returns the key under which the names of a native frame are kept.
func (f *Frame) ID() FrameID { return NewFrameID(f.FileID, f.AddressOrLineno) }

// TraceHash is the identity of a stack; see [HashTrace].
type TraceHash struct{ Hash128 }

// NewTraceHash returns the trace hash with the given halves.
func NewTraceHash(hi, lo uint64) TraceHash { return TraceHash{NewHash128(hi, lo)} }

// TraceHashFromBytes reads a trace hash from its 16-byte form.
func TraceHashFromBytes(b []byte) (TraceHash, error) {
	h, err := Hash128FromBytes(b)
	return TraceHash{h}, err
}

// ParseTraceHash reads a trace hash from text; see [ParseHash128] for the forms.
func ParseTraceHash(s string) (TraceHash, error) {
	h, err := ParseHash128(s)
	return TraceHash{h}, err
}

// Trace is a stack: frame 0 is the leaf. A trace is immutable once its hash is set.
type Trace struct {
	Hash   TraceHash
	Frames []Frame
}

// NewTrace returns the trace of the given frames, leaf first, with its hash.
// It keeps frames; the caller must not change them any more.
func NewTrace(frames []Frame) *Trace {
	return &Trace{Hash: HashTrace(frames), Frames: frames}
}

// HashTrace computes the identity of a stack: xxh3, 128 bits, over the number
// of frames and then, for each frame, type, file ID, address, and the
// length-prefixed function name, source file and line that belong to its
// identity. Lines are not covered: names found later do not change a stack.
func HashTrace(frames []Frame) TraceHash {
	var h xxh3.Hasher
	writeUint64(&h, uint64(len(frames)))
	var fixed [25]byte
	for i := range frames {
		f := &frames[i]
		fixed[0] = byte(f.Type)
		f.FileID.AppendBytes(fixed[:1])
		binary.LittleEndian.PutUint64(fixed[17:], uint64(f.AddressOrLineno))
		_, _ = h.Write(fixed[:]) // cannot fail
		writeString(&h, f.FunctionName)
		writeString(&h, f.SourceFile)
		writeUint64(&h, uint64(f.SourceLine))
	}
	s := h.Sum128()
	return NewTraceHash(s.Hi, s.Lo)
}

// AppendIdentity appends what [HashTrace] covers of a frame. Whoever hashes many
// stacks of the same frames writes each frame once; see [HashIdentities].
func (f *Frame) AppendIdentity(b []byte) []byte {
	b = append(b, byte(f.Type))
	b = f.FileID.AppendBytes(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.AddressOrLineno))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(f.FunctionName)))
	b = append(b, f.FunctionName...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(f.SourceFile)))
	b = append(b, f.SourceFile...)
	return binary.LittleEndian.AppendUint64(b, uint64(f.SourceLine))
}

// HashIdentities returns what [HashTrace] does of frames whose number stands in
// the first 8 bytes of b, little endian, and whose identities follow, leaf first.
func HashIdentities(b []byte) TraceHash {
	s := xxh3.Hash128(b)
	return NewTraceHash(s.Hi, s.Lo)
}

// TraceAndCounts is a number of equal samples in the form of the first agents
// of the field: a stack, a second, a count, and three names.
type TraceAndCounts struct {
	Hash          TraceHash
	Timestamp     UnixTime32
	Count         uint16
	Comm          string
	PodName       string
	ContainerName string
}
