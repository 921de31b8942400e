// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"errors"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// layout is the part of a process's record that is the same for all processes
// of a file: where members of structures are. See struct python_process.
type layout = bpfPythonProcess

// How frames are linked; LINK_... of support/ebpf/python.bpf.c.
const (
	linkObject = iota
	linkEntry
	linkShim
)

var errLayout = errors.New("layout of structures not known")

// constants returns the layout of versions before 3.13, and where the list of
// interpreters is in _PyRuntime. The numbers are the offsets of members that the
// headers of each version give for 64 bits (Include/*.h, Include/internal/*.h).
func constants(v version) (l layout, head uint64, err error) {
	l = layout{
		Type: 8, TextLength: 16, TextData: 32, AsciiData: 48, WideData: 72,
		ThreadNext: 8, InterpThreads: 8,
		// PyFrameObject.
		Link: linkObject, ThreadFrame: 24, FrameBack: 24, FrameCode: 32,
	}
	if v.major == 2 {
		if v.minor != 7 {
			return l, 0, errLayout
		}
		l.TextData, l.AsciiData, l.WideData = 36, 0, 0
		l.ThreadNext, l.ThreadFrame, l.ThreadId = 0, 16, 144
		l.FrameInstr = 120
		l.CodeFile, l.CodeName, l.CodeLine, l.CodeLines = 80, 88, 96, 104
		return l.sized(), 0, nil
	}
	switch v.minor {
	case 6:
		l.ThreadId, l.FrameInstr = 152, 120
		l.CodeLine, l.CodeFile, l.CodeName, l.CodeLines = 36, 96, 104, 112
	case 7:
		l.ThreadId, l.FrameInstr = 176, 104
		l.CodeLine, l.CodeFile, l.CodeName, l.CodeLines = 36, 96, 104, 112
		head = 24
	case 8, 9, 10:
		l.ThreadId, l.FrameInstr = 176, 104
		if v.minor == 10 {
			l.FrameInstr = 96
		}
		l.CodeLine, l.CodeFile, l.CodeName, l.CodeLines = 40, 104, 112, 120
		head = 32
	case 11:
		// _PyInterpreterFrame and _PyCFrame.
		l.Link, l.ThreadId, l.ThreadFrame, l.InterpThreads = linkEntry, 152, 56, 16
		l.Cframe, l.CframeFrame, l.CframeBack = 1, 8, 16
		l.FrameCode, l.FrameBack, l.FrameInstr, l.FrameOwner = 32, 48, 56, 68
		l.CodeLine, l.CodeFile, l.CodeName, l.CodeQualname, l.CodeLines, l.CodeStart = 72, 112, 120, 128, 136, 184
		head = 40
	case 12:
		l.Link, l.ThreadId, l.ThreadFrame, l.InterpThreads = linkShim, 136, 56, 72
		l.Cframe, l.CframeFrame, l.CframeBack = 1, 0, 8
		l.FrameCode, l.FrameBack, l.FrameInstr, l.FrameOwner = 0, 8, 56, 70
		l.CodeLine, l.CodeFile, l.CodeName, l.CodeQualname, l.CodeLines, l.CodeStart = 68, 112, 120, 128, 136, 192
		l.CodeVersion = 92
		l.AsciiData, l.WideData = 40, 56
		head = 40
	default:
		return l, 0, errLayout
	}
	return l.sized(), head, nil
}

// sized sets how much of a frame and of a code object is read.
func (l layout) sized() layout {
	l.FrameSize = max(l.FrameCode, l.FrameBack, l.FrameInstr, l.FrameOwner) + 8
	l.FrameSize &^= 7
	l.CodeSize = max(l.CodeLine, l.CodeFile, l.CodeName, l.CodeQualname, l.CodeLines, l.CodeVersion, l.Type) + 8
	l.CodeSize &^= 7
	return l
}

// Words of the table _Py_DebugOffsets with which _PyRuntime begins from 3.13 on.
// Its sections are structures of such words; how long they are depends on the
// version.
const (
	debugCookie  = "xdebugpy"
	debugWords   = 128
	debugRuntime = 3
	debugInterp  = 6
)

// debugSections are the numbers of words of sections, as far as needed.
type debugSections struct{ interp, thread, frame, code, skip int }

// skip counts what is between code objects and bytes: types, tuples, ...
var debugTables = map[int]debugSections{
	13: {interp: 13, thread: 9, frame: 6, code: 10, skip: 2 + 4 + 3 + 3 + 3 + 2 + 3},
	14: {interp: 16, thread: 9, frame: 8, code: 11, skip: 2 + 4 + 3 + 3 + 4 + 3 + 2 + 3},
}

// readDebugOffsets reads the layout from the table, and where the list of
// interpreters is in _PyRuntime.
func readDebugOffsets(f *pfelf.File, at uint64) (l layout, head uint64, err error) {
	var b [debugWords * 8]byte
	if _, err := f.ReadVaddr(b[:], at); err != nil {
		return l, 0, err
	}
	return parseDebugOffsets(b[:])
}

func parseDebugOffsets(b []byte) (l layout, head uint64, err error) {
	if len(b) < debugWords*8 || string(b[:8]) != debugCookie {
		return l, 0, errLayout
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[i*8:]) }
	n := word(1)
	s, ok := debugTables[int(n>>16&0xff)]
	if n>>24 != 3 || !ok {
		return l, 0, errLayout
	}
	bad := false
	// small refuses what cannot be an offset in a structure of at most limit bytes.
	small := func(i int, limit uint64) uint16 {
		v := word(i)
		bad = bad || v >= limit
		return uint16(v) //nolint:gosec // limit is smaller
	}
	thread := debugInterp + s.interp
	frame := thread + s.thread
	code := frame + s.frame
	object := code + s.code
	bytes := object + s.skip
	text := bytes + 3

	head = word(debugRuntime + 2)
	l.InterpNext, l.InterpThreads = uint32(word(debugInterp+2)), uint32(word(debugInterp+3)) //nolint:gosec // checked below
	bad = bad || head > 1<<24 || word(debugInterp+2) > 1<<24 || word(debugInterp+3) > 1<<24
	l.ThreadNext, l.ThreadFrame, l.ThreadId = small(thread+2, 4096), small(thread+4, 4096), small(thread+5, 4096)
	l.FrameBack, l.FrameCode = small(frame+1, 120), small(frame+2, 120)
	l.FrameInstr, l.FrameOwner = small(frame+3, 120), small(frame+5, 120)
	l.CodeFile, l.CodeName, l.CodeQualname = small(code+1, 248), small(code+2, 248), small(code+3, 248)
	l.CodeLines, l.CodeLine, l.CodeStart = small(code+4, 248), small(code+5, 248), small(code+9, 4096)
	// Not in the table: co_version comes six numbers after co_firstlineno.
	l.CodeVersion = l.CodeLine + 24
	l.Type = small(object+1, 120)
	l.TextLength, l.TextData = small(text+2, 120), small(bytes+2, 120)
	l.AsciiData = small(text+3, 120)
	// PyCompactUnicodeObject has two words more.
	l.WideData = l.AsciiData + 16
	l.Link = linkShim
	// What is always so, as proof that the sections were told apart.
	bad = bad || l.FrameBack != 8 || l.FrameCode != 0 || l.CodeQualname != l.CodeName+8 || l.CodeLines != l.CodeQualname+8 ||
		word(text+1) != uint64(l.TextLength)+16 || word(bytes+1) != uint64(l.TextLength) || l.CodeVersion+4 > l.CodeFile
	if bad {
		return layout{}, 0, errLayout
	}
	return l.sized(), head, nil
}
