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
)

// Offsets that are the same in all supported versions.
const (
	svBody     = 0  // SV.sv_any
	svFlags    = 12 // SV.sv_flags
	svValue    = 16 // SV.sv_u
	cvNames    = 32 // the part of a CV's body that is read: xcv_stash and on
	cvBody     = 64
	gvNames    = 32 // GvNAME_HEK and GvSTASH in a glob's body
	hvMax      = 24 // xhv_max in a hash's body
	hvBodySize = 32
	auxCount   = 28 // xhv_name_count in struct xpvhv_aux
	hekKey     = 8
	copLine    = 36 // of struct cop: cop_line, cop_stash, cop_file
	copFields  = 20
)

const (
	cvNamed   = 0x8000    // CVf_NAMED: the name is no glob but a shared string
	cvLexical = 0x10000   // CVf_LEXICAL: my sub
	svOOK     = 0x2000000 // SVf_OOK: the hash has struct xpvhv_aux
)

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

func mix(h, w uint64) uint64 {
	h = (h ^ w) * 0xff51afd7ed558ccd
	return h ^ h>>32
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

// sub is what names a CV.
type sub struct {
	stash, start, name, file uint64
	flags                    uint32
}

func (d *decoder) sub(at uint64) (sub, error) {
	body, err := d.memory.Uint64(at + svBody)
	if err != nil {
		return sub{}, err
	}
	var b [cvBody]byte
	if err := d.memory.Read(b[:], body+cvNames); err != nil {
		return sub{}, err
	}
	u := binary.LittleEndian.Uint64
	return sub{stash: u(b[:]), start: u(b[8:]), name: u(b[24:]), file: u(b[32:]), flags: binary.LittleEndian.Uint32(b[60:])}, nil
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

// mixText mixes the first words of a text, as the eBPF program does.
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

// frame names a frame, if it still is what was sampled.
func (d *decoder) frame(f interpreter.Frame) (libpf.Frame, error) {
	const bits = 48
	out := libpf.Frame{Type: libpf.PerlFrame}
	cop, err := d.statement(f.W1 & (1<<bits - 1))
	if err == nil {
		var file string
		out.FunctionName, file, err = d.place(f, cop)
		out.SourceFile = withoutNumber(file)
	}
	if err != nil && f.Subtype == kindString {
		// The code is freed as soon as it has run, often before it is looked at here.
		out.FunctionName, out.SourceFile, err = evaluated, evaluated, nil
		cop.line = uint32(f.W1 >> bits)
	}
	out.SourceLine, out.AddressOrLineno = libpf.SourceLineno(cop.line), libpf.AddressOrLineno(cop.line)
	return out, err
}

// place returns the function and the file of a frame.
func (d *decoder) place(f interpreter.Frame, cop statement) (name, file string, err error) {
	h := mix(mix(uint64(f.Subtype), uint64(cop.line)), cop.file)
	switch f.Subtype {
	case kindSub, kindFormat:
		name, h, err = d.subName(f.Addr, h)
	case kindEval, kindString:
		name = evaluated
	case kindRequire:
		name, h, err = d.requireName(f.Addr, h)
	case kindMain:
		name = "<main>"
	default:
		return "", "", fmt.Errorf("kind %d of frame is not known", f.Subtype)
	}
	if err != nil {
		return "", "", err
	}
	if h != f.W2 {
		return "", "", interpreter.ErrStale
	}
	file, err = d.fileName(cop)
	return name, file, err
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

// requireName names a required file by what was asked for, and goes on with h.
func (d *decoder) requireName(at, h uint64) (string, uint64, error) {
	text, err := d.memory.Uint64(at + svValue)
	if err != nil {
		return "", h, err
	}
	name, err := d.memory.String(text)
	return "require " + name, d.mixText(h, text), err
}

// subName names a sub with its package, and goes on with h.
func (d *decoder) subName(at, h uint64) (string, uint64, error) {
	s, err := d.sub(at)
	if err != nil {
		return "", h, err
	}
	h = mix(mix(h, s.start), s.name)
	stash, text := s.stash, s.name
	switch {
	case s.flags&cvNamed != 0:
		h = mix(h, stash)
	case s.name == 0:
		return anonymous, mix(mix(h, 0), 0), nil
	default:
		g, err := d.glob(s.name)
		if err != nil {
			return "", h, err
		}
		h = mix(mix(h, g.name), g.stash)
		stash, text = g.stash, g.name
	}
	h = d.mixText(h, text)
	name, err := d.shared(text)
	if err != nil {
		return "", h, err
	}
	if s.flags&(cvNamed|cvLexical) == cvNamed|cvLexical {
		return name, h, nil // it belongs to no package
	}
	if name == anonymous {
		name += d.defined(s)
	}
	pack, err := d.stashName(stash)
	if err != nil {
		return "", h, err
	}
	if pack == "" {
		pack = anonymous
	}
	return pack + "::" + name, h, nil
}

// defined tells one anonymous sub from another: "[file:line]" of its first
// statement, "" where that cannot be told.
func (d *decoder) defined(s sub) string {
	first, err := d.statement(s.start)
	if err != nil || first.line == 0 {
		return ""
	}
	// Not every sub starts with a statement; what does has the sub's file.
	file, err := d.fileName(first)
	if err != nil || file == "" {
		return ""
	}
	if of, err := d.memory.String(s.file); err != nil || of != file {
		return ""
	}
	return fmt.Sprintf("[%s:%d]", path.Base(file), first.line)
}
