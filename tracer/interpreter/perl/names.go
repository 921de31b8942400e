// SPDX-License-Identifier: Apache-2.0

package perl

import (
	"encoding/binary"
	"fmt"
	"path"
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Kinds of frames; see support/ebpf/perl.bpf.c.
const (
	kindSub = iota
	kindFormat
	kindEval
	kindString
	kindRequire
	kindMain
	kindGlob
	kindLexical
)

// Offsets that are the same in all supported versions.
const (
	svBody     = 0  // SV.sv_any
	svFlags    = 12 // SV.sv_flags
	svValue    = 16 // SV.sv_u
	gvNames    = 32 // GvNAME_HEK and GvSTASH in a glob's body
	hvMax      = 24 // xhv_max in a hash's body
	hvBodySize = 32
	auxCount   = 28 // xhv_name_count in struct xpvhv_aux
	hekKey     = 8
	opFunction = 16 // OP.op_ppaddr
	copLine    = 36 // of struct cop: cop_line, cop_stash, cop_file
	copFields  = 20
)

const svOOK = 0x2000000 // SVf_OOK: the hash has struct xpvhv_aux

const (
	anonymous  = "__ANON__"
	evaluated  = "(eval)" // as caller() names it
	maxBuckets = 1 << 32
)

// decoder gives names to frames. Everything that it reads may be anything.
type decoder struct {
	memory process.Memory
	layout layout
	// fileIsGlob: without threads a statement's file is a glob, not a string.
	fileIsGlob bool
}

// statement is a struct cop.
type statement struct {
	line uint32
	file uint64
}

func (d *decoder) statement(at uint64) (statement, error) {
	var b [copFields]byte
	if err := d.memory.Read(b[:], at+copLine); err != nil {
		return statement{}, err
	}
	return statement{binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint64(b[12:])}, nil
}

// fileName returns the name of a statement's file.
func (d *decoder) fileName(s statement) (string, error) {
	if s.file == 0 {
		return "", nil
	}
	if !d.fileIsGlob {
		return d.memory.String(s.file)
	}
	g, err := d.glob(s.file)
	if err != nil {
		return "", err
	}
	text, err := d.shared(g.name)
	return strings.TrimPrefix(text, "_<"), err
}

// glob is the name of a GV and its package.
type glob struct{ name, stash uint64 }

func (d *decoder) glob(at uint64) (glob, error) {
	body, err := d.memory.Uint64(at + svBody)
	if err != nil {
		return glob{}, err
	}
	var b [16]byte
	if err := d.memory.Read(b[:], body+gvNames); err != nil {
		return glob{}, err
	}
	return glob{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}, nil
}

// shared reads a shared string, struct hek.
func (d *decoder) shared(at uint64) (string, error) {
	n, err := d.memory.Uint32(at + 4)
	if err != nil {
		return "", err
	}
	if n > process.MaxString {
		return "", fmt.Errorf("%w: a name of %d bytes", process.ErrMemory, n)
	}
	return d.memory.Text(at+hekKey, uint64(n))
}

// words are the three words of a frame, taken apart; see push_perl().
type words struct {
	kind            uint8
	name            uint64
	cop, context    uint64
	copCheck, check uint32
}

const (
	pointerBits = 45
	pointerMask = 1<<pointerBits - 1
	checkMask   = 1<<(64-pointerBits) - 1
)

func unpack(f interpreter.Frame) words {
	return words{
		kind: f.Subtype, name: f.Addr,
		cop: f.W1 & pointerMask << 3, context: f.W2 & pointerMask << 3,
		copCheck: uint32(f.W1 >> pointerBits), check: uint32(f.W2 >> pointerBits), //nolint:gosec // 19 bits
	}
}

// check folds a hash into what a word has room for, as pack() does.
func check(h uint64) uint32 { return uint32(h & checkMask) }

func mix(h, w uint64) uint64 {
	h = (h ^ w) * 0xff51afd7ed558ccd
	return h ^ h>>32
}

// mixText mixes the first words of a name.
func (d *decoder) mixText(h, at uint64) uint64 {
	var b [16]byte
	if d.memory.Read(b[:], at) != nil {
		b = [16]byte{}
	}
	return mix(mix(h, binary.LittleEndian.Uint64(b[:])), binary.LittleEndian.Uint64(b[8:]))
}

// stashName returns the name of a package, "" if it has none.
func (d *decoder) stashName(at uint64) (string, error) {
	if at == 0 {
		return "", nil
	}
	flags, err := d.memory.Uint32(at + svFlags)
	if err != nil || flags&svOOK == 0 {
		return "", err
	}
	body, err := d.memory.Uint64(at + svBody)
	if err != nil {
		return "", err
	}
	aux := body + hvBodySize
	if !d.layout.auxInBody {
		array, err := d.memory.Uint64(at + svValue)
		if err != nil {
			return "", err
		}
		last, err := d.memory.Uint64(body + hvMax)
		if err != nil {
			return "", err
		}
		if last > maxBuckets {
			return "", fmt.Errorf("%w: a hash of %d buckets", process.ErrMemory, last)
		}
		aux = array + (last+1)*8
	}
	name, err := d.memory.Uint64(aux)
	if err != nil {
		return "", err
	}
	// With several names, name is an array; the first one that counts is second
	// when the number is negative.
	count, err := d.memory.Uint32(aux + auxCount)
	if err == nil && count != 0 && name != 0 {
		at := name
		if int32(count) < 0 { //nolint:gosec // it is signed
			at += 8
		}
		name, err = d.memory.Uint64(at)
	}
	if err != nil || name == 0 {
		return "", err
	}
	return d.shared(name)
}

// frame names a frame, if its name still is what was sampled. The statement may
// be gone: then there is no file and line.
func (d *decoder) frame(f interpreter.Frame) (libpf.Frame, error) {
	w := unpack(f)
	name, err := d.name(w)
	if err != nil {
		return libpf.Frame{}, err
	}
	out := libpf.Frame{Type: libpf.PerlFrame, FunctionName: name}
	cop, err := d.statement(w.cop)
	if err == nil && check(mix(mix(0, uint64(cop.line)), cop.file)) == w.copCheck {
		if file, err := d.fileName(cop); err == nil {
			out.SourceFile, out.SourceLine = withoutNumber(file), libpf.SourceLineno(cop.line)
		}
	} else if w.kind == kindString {
		// The code is freed as soon as it has run.
		out.SourceFile, out.SourceLine = evaluated, libpf.SourceLineno(w.name&(1<<32-1))
	}
	out.AddressOrLineno = libpf.AddressOrLineno(out.SourceLine)
	return out, nil
}

// name returns the function of a frame.
func (d *decoder) name(w words) (string, error) {
	switch w.kind {
	case kindSub, kindGlob, kindLexical, kindFormat:
		return d.subName(w)
	case kindEval, kindString:
		return evaluated, nil
	case kindRequire:
		text, err := d.memory.String(w.name)
		if err != nil || check(d.mixText(0, w.name)) != w.check {
			return "require", nil //nolint:nilerr // the text may be gone
		}
		return "require " + text, nil
	case kindMain:
		return "<main>", nil
	}
	return "", fmt.Errorf("kind %d of frame is not known", w.kind)
}

// subName names a sub with its package.
func (d *decoder) subName(w words) (string, error) {
	text, stash := w.name, w.context
	var seed uint64
	byGlob := w.kind == kindGlob || w.kind == kindFormat
	if byGlob {
		if w.name == 0 {
			return anonymous, nil
		}
		g, err := d.glob(w.name)
		if err != nil {
			return "", err
		}
		text, stash, seed = g.name, g.stash, g.stash
	}
	if check(d.mixText(seed, text)) != w.check {
		return "", interpreter.ErrStale
	}
	name, err := d.shared(text)
	if err != nil || w.kind == kindLexical {
		return name, err
	}
	if name == anonymous && byGlob {
		name += d.defined(w.context, w.cop)
	}
	pack, err := d.stashName(stash)
	if err != nil {
		return "", err
	}
	if pack == "" {
		pack = anonymous
	}
	return pack + "::" + name, nil
}

// defined tells one anonymous sub from another: "[file:line]" of its first op,
// "" if that is no statement, which is told by its function being that of another
// statement.
func (d *decoder) defined(op, statement uint64) string {
	does, err := d.memory.Uint64(op + opFunction)
	if err != nil {
		return ""
	}
	if of, err := d.memory.Uint64(statement + opFunction); err != nil || of != does {
		return ""
	}
	first, err := d.statement(op)
	if err != nil {
		return ""
	}
	file, err := d.fileName(first)
	if err != nil || file == "" {
		return ""
	}
	return fmt.Sprintf("[%s:%d]", path.Base(withoutNumber(file)), first.line)
}

// withoutNumber makes "(eval)" of "(eval 12)", the file of a string that was
// evaluated: every evaluation has a number of its own, and no two would be alike.
func withoutNumber(file string) string {
	n, ok := strings.CutPrefix(file, "(eval ")
	if n, closed := strings.CutSuffix(n, ")"); ok && closed && n != "" && strings.Trim(n, "0123456789") == "" {
		return evaluated
	}
	return file
}
