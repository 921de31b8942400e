// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/strobe-profiler/strobe/libpf"
)

// frameTypes are the values of profile.frame.type that are called otherwise here.
var frameTypes = map[string]libpf.FrameType{
	"cpython": libpf.PythonFrame, "v8js": libpf.V8Frame, "rust": libpf.NativeFrame,
}

// noStack stands for a stack without frames.
var noStack = libpf.Frame{Type: libpf.AbortFrame, FunctionName: "no stack"}

// frame is a frame of a location, with references to its texts.
type frame struct {
	address  libpf.AddressOrLineno
	line     libpf.SourceLineno
	file     int32 // in the mapping table
	function int32 // in the function table, noFunction: named apart or not at all
	typ      libpf.FrameType
}

const noFunction = -1

// frame returns a frame as stores know it.
func (d *Message) frame(f *frame) libpf.Frame {
	out := libpf.Frame{Type: f.typ, FileID: d.files[f.file].executable.FileID, AddressOrLineno: f.address}
	if f.function != noFunction {
		function := &d.functions[f.function]
		out.FunctionName, out.SourceFile, out.SourceLine = d.textOf(function.name), d.textOf(function.file), f.line
	}
	return out
}

// locationTable checks the locations and makes their frames and keys.
func (d *Message) locationTable() error {
	const field = "dictionary.location_table"
	if err := d.charge(field, len(d.locations), frameBytes); err != nil {
		return err
	}
	d.places = sized(d.places, len(d.locations))
	d.keys = slices.Grow(d.keys[:0], len(d.locations))
	d.frames = slices.Grow(d.frames[:0], len(d.locations))
	d.identities = d.identities[:0]
	d.symbols.reset(len(d.locations))
	for i := range d.locations {
		first := len(d.frames)
		if err := d.location(i, &d.locations[i]); err != nil {
			return err
		}
		n := len(d.frames) - first
		if n > 1 {
			if err := d.owe(field, (n-1)*frameBytes); err != nil {
				return err
			}
		}
		d.places[i] = location{frame: to32(first), frames: to32(n)}
		d.keys = append(d.keys, d.locationKey(&d.locations[i], d.frames[first:]))
	}
	return nil
}

// contentKey stands for the content of a location or a stack, with all names.
type contentKey struct{ hi, lo uint64 }

func (k contentKey) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, k.hi), k.lo)
}

// locationKey returns the key of a location with its frames.
func (d *Message) locationKey(l *locationEntry, frames []frame) contentKey {
	b := d.scratch[:0]
	if len(frames) > 0 { // all of the same type, file and address
		f := &frames[0]
		b = append(b, byte(f.typ))
		b = d.files[f.file].executable.FileID.AppendBytes(b)
		b = binary.LittleEndian.AppendUint64(b, uint64(f.address))
		if f.function != noFunction { // these names are part of the identity
			b = append(b, 1)
		}
		for _, line := range d.lines[l.lines.from:l.lines.to] {
			b = binary.LittleEndian.AppendUint64(b, d.sums[line.function])
			b = binary.LittleEndian.AppendUint64(b, uint64(line.line)) //nolint:gosec // not negative
		}
	}
	d.scratch = b
	h := xxh3.Hash128(b)
	return contentKey{h.Hi, h.Lo}
}

// identityOf returns what is hashed of the frames of a location.
func (d *Message) identityOf(i int32) ([]byte, error) {
	p := &d.places[i]
	if p.identityEnd > 0 { // none is empty
		return d.identities[p.identity:p.identityEnd], nil
	}
	frames := d.frames[p.frame : p.frame+p.frames]
	texts := 0
	for j := range frames {
		if f := frames[j].function; f != noFunction {
			texts += d.textBytes(&d.functions[f])
		}
	}
	const field = "dictionary.location_table"
	if err := d.owe(field, texts); err != nil {
		return nil, err
	}
	if len(d.identities)+texts+len(frames)*frameBytes > math.MaxInt32 {
		return nil, invalid(field, "its names are too long: send the request in parts")
	}
	began := len(d.identities)
	for j := range frames {
		f := d.frame(&frames[j])
		d.identities = f.AppendIdentity(d.identities)
	}
	p.identity, p.identityEnd = to32(began), to32(len(d.identities))
	return d.identities[began:], nil
}

// location checks a location and appends its frames, leaf first.
func (d *Message) location(i int, l *locationEntry) error {
	if l.mapping < 0 || int(l.mapping) >= len(d.mappings) {
		return index(at("dictionary.location_table", i)+".mapping_index", l.mapping, "mapping_table", d.entries[mappingTable])
	}
	var kind *attribute
	for j, a := range d.indices[l.attributes.from:l.attributes.to] {
		if a < 0 || int(a) >= len(d.attributes) {
			return index(at(at("dictionary.location_table", i)+".attribute_indices", j), a, "attribute_table", d.entries[attributeTable])
		}
		switch k := &d.kinds[a]; {
		case k.key == exactTypeKey && k.hasFrame:
			kind = k
		case k.key == frameTypeKey && (kind == nil || kind.key != exactTypeKey):
			kind = k
		}
	}
	if n := l.lines.len(); n > maxLines {
		return invalid(at("dictionary.location_table", i)+".lines", "has %d entries, at most %d are allowed", n, maxLines)
	}
	lines := d.lines[l.lines.from:l.lines.to]
	named := false
	for j := range lines {
		f, n := lines[j].function, lines[j].line
		if f < 0 || int(f) >= len(d.functions) {
			return index(at(at("dictionary.location_table", i)+".lines", j)+".function_index", f, "function_table", d.entries[functionTable])
		}
		if n < 0 {
			return invalid(at(at("dictionary.location_table", i)+".lines", j)+".line", "is %d, must not be negative", n)
		}
		named = named || d.named(&d.functions[f])
	}
	m := &d.files[l.mapping]
	out := frame{typ: frameType(kind, m, l.address), file: l.mapping, function: noFunction}
	if !named {
		out.address = d.mappings[l.mapping].inFileOf(l.address)
		d.frames = append(d.frames, out)
		return nil
	}
	if m.identified && l.address != 0 && inFile(out.typ) {
		out.address = d.mappings[l.mapping].inFileOf(l.address)
		if d.names(libpf.NewFrameID(m.executable.FileID, out.address), i) {
			// Each symbol is stored with its texts, however often they repeat.
			texts := 0
			for j := range lines {
				texts += d.textBytes(&d.functions[lines[j].function])
			}
			d.frames = append(d.frames, out)
			return d.owe("dictionary.location_table", texts)
		}
		out.address = 0
	}
	for j := range lines {
		if !d.named(&d.functions[lines[j].function]) {
			continue
		}
		out.function, out.line = lines[j].function, libpf.SourceLineno(lines[j].line) //nolint:gosec // not negative
		d.frames = append(d.frames, out)
	}
	return nil
}

// names notes that a location names a frame. It returns false when another one of
// the request gives it other names, so that the address says too little.
func (d *Message) names(id libpf.FrameID, i int) bool {
	first, ok := d.symbols.add(id, int32(i)) //nolint:gosec // an index of 32 bits
	if ok {
		return true
	}
	return slices.Equal(d.linesAt(int32(i)), d.linesAt(first)) //nolint:gosec // see above
}

// linesAt returns the lines of a location.
func (d *Message) linesAt(i int32) []lineEntry {
	l := d.locations[i].lines
	return d.lines[l.from:l.to]
}

// inFile reports whether addresses of the type are those of a file of machine code.
func inFile(t libpf.FrameType) bool {
	return t == libpf.NativeFrame || t == libpf.KernelFrame || t == libpf.GoFrame
}

// parseFrameType returns the type of a frame by its name.
func parseFrameType(name string) (libpf.FrameType, bool) {
	if t, ok := frameTypes[name]; ok {
		return t, true
	}
	t, err := libpf.ParseFrameType(name)
	return t, err == nil
}

// frameType returns the type of a frame, by what the location says, else by what it has.
func frameType(kind *attribute, m *mapping, address uint64) libpf.FrameType {
	switch {
	case kind != nil && kind.hasFrame:
		return kind.frame
	case m.kernel:
		return libpf.KernelFrame
	case address != 0 || m.identified:
		return libpf.NativeFrame
	}
	return libpf.UnknownFrame
}

// stackTable checks the stacks.
func (d *Message) stackTable() error {
	if err := d.charge("dictionary.stack_table", len(d.stacks), stackBytes); err != nil {
		return err
	}
	d.hashes = sized(d.hashes, len(d.stacks))
	n := len(d.locations)
	for i := range d.stacks {
		indices := d.locationsOf(i)
		if len(indices) > d.MaxFrames {
			return invalid(at("dictionary.stack_table", i)+".location_indices", "has %d entries, at most %d are allowed", len(indices), d.MaxFrames)
		}
		for j, l := range indices {
			if l < 0 || int(l) >= n {
				return index(at(at("dictionary.stack_table", i)+".location_indices", j), l, "location_table", d.entries[locationTable])
			}
		}
	}
	return nil
}

// locationsOf returns the locations of a stack.
func (d *Message) locationsOf(i int) []int32 {
	s := d.stacks[i]
	return d.indices[s.from:s.to]
}

// stack returns the hash of a stack whose index was checked.
func (d *Message) stack(i int) (libpf.TraceHash, error) {
	s := &d.hashes[i]
	if s.done {
		return s.hash, nil
	}
	indices := d.locationsOf(i)
	if err := d.roomToHash(16 * len(indices)); err != nil {
		return s.hash, err
	}
	if d.known != nil {
		b := d.hashed[:0]
		for _, l := range indices {
			b = d.keys[l].append(b)
		}
		h := xxh3.Hash128(b)
		s.key = contentKey{h.Hi, h.Lo}
		if s.hash, s.known = d.known.Whole(h.Hi, h.Lo); s.known {
			s.done = true
			for _, l := range indices {
				d.places[l].known = true
			}
			return s.hash, nil
		}
	}
	return d.hashStack(i, indices)
}

// roomToHash makes room for what is hashed of a stack.
func (d *Message) roomToHash(bytes int) error {
	if bytes <= cap(d.hashed) {
		return nil
	}
	if err := d.charge("dictionary.stack_table", 1, int64(bytes)); err != nil {
		return err
	}
	d.hashed = make([]byte, 0, bytes+64)
	return nil
}

// hashStack hashes a stack.
func (d *Message) hashStack(i int, indices []int32) (libpf.TraceHash, error) {
	s := &d.hashes[i]
	n, bytes := 0, 8
	for _, l := range indices {
		identity, err := d.identityOf(l)
		if err != nil {
			return s.hash, err
		}
		n += int(d.places[l].frames)
		bytes += len(identity)
	}
	if n > d.MaxFrames {
		return s.hash, invalid(at("dictionary.stack_table", i), "has %d frames, at most %d are allowed", n, d.MaxFrames)
	}
	if err := d.work("dictionary.stack_table", bytes); err != nil {
		return s.hash, err
	}
	if err := d.roomToHash(bytes); err != nil {
		return s.hash, err
	}
	b := append(d.hashed[:0], 0, 0, 0, 0, 0, 0, 0, 0)
	for _, l := range indices {
		p := &d.places[l]
		b = append(b, d.identities[p.identity:p.identityEnd]...)
	}
	if n == 0 {
		n, b = 1, noStack.AppendIdentity(b)
	}
	binary.LittleEndian.PutUint64(b, uint64(n)) //nolint:gosec // not negative
	d.hashed = b
	s.hash, s.done = libpf.HashIdentities(b), true
	return s.hash, nil
}

// framesOf returns the frames of a stack.
func (d *Message) framesOf(i int) []libpf.Frame {
	indices := d.locationsOf(i)
	frames := make([]libpf.Frame, 0, len(indices))
	for _, l := range indices {
		at := &d.places[l]
		for j := at.frame; j < at.frame+at.frames; j++ {
			frames = append(frames, d.frame(&d.frames[j]))
		}
	}
	if len(frames) == 0 {
		frames = append(frames, noStack)
	}
	return frames
}
