// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/strobe-profiler/strobe/libpf"
)

// A pack holds many stacks, sorted from their roots, so that what they have in common
// with the one before is not stored again:
//
//	version  1 byte
//	stacks   uvarint: their number
//	files    uvarint: their number; 16 bytes each
//	frames   uvarint: their number; each as in a stack, with all files known. The
//	         packFrequent that are used most come first, the rest is sorted.
//	shared   uvarint for each stack: frames from the root that are those of the one before
//	more     uvarint for each stack: frames that follow them
//	numbers  of these frames: 1 byte when it is below packFrequent, else 2 bytes: from
//	         packFrequent on, what is left of the number, the high byte first
//
// Packs are not compressed here, Pebble does that.
const (
	packVersion  = 1
	packFrequent = 240
	// A pack is read as a whole for any stack in it.
	maxPackStacks = 1024
	maxPackFrames = 4096
	maxPackNodes  = 1 << 15 // frames that are stored
	maxPackTexts  = 128 << 10
)

// packed is a stack from its root, as numbers in a sorted list of frames.
type packed struct {
	hash libpf.TraceHash
	path []uint32
}

// compareFrames is the order of frames in packs.
func compareFrames(a, b *libpf.Frame) int {
	return cmp.Or(
		cmp.Compare(a.Type, b.Type), a.FileID.Compare(b.FileID.Hash128), cmp.Compare(a.AddressOrLineno, b.AddressOrLineno),
		cmp.Compare(a.FunctionName, b.FunctionName), cmp.Compare(a.SourceFile, b.SourceFile), cmp.Compare(a.SourceLine, b.SourceLine),
	)
}

// packWriter makes one pack of sorted stacks.
type packWriter struct {
	frames []libpf.Frame // sorted, of all stacks
	stacks []packed      // those of the pack
	nodes  int
	texts  int
	uses   map[uint32]int // by number in frames
}

// sharedPath returns how many numbers two paths begin with alike.
func sharedPath(a, b []uint32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// add adds the next stack in the order. ok is false when the pack is full without it.
func (w *packWriter) add(s packed) (ok bool) {
	var before []uint32
	if n := len(w.stacks); n > 0 {
		before = w.stacks[n-1].path
	}
	more := s.path[sharedPath(before, s.path):]
	texts, fresh := 0, 0
	for _, n := range more {
		if w.uses[n] == 0 {
			f := &w.frames[n]
			texts += len(f.FunctionName) + len(f.SourceFile)
			fresh++
		}
	}
	if len(w.stacks) == maxPackStacks || w.nodes+len(more) > maxPackNodes || w.texts+texts > maxPackTexts || len(w.uses)+fresh > maxPackFrames {
		return false
	}
	if w.uses == nil {
		w.uses = make(map[uint32]int)
	}
	for _, n := range more {
		w.uses[n]++
	}
	w.stacks, w.nodes, w.texts = append(w.stacks, s), w.nodes+len(more), w.texts+texts
	return true
}

// reset empties the writer.
func (w *packWriter) reset() {
	w.stacks, w.nodes, w.texts = w.stacks[:0], 0, 0
	clear(w.uses)
}

// order returns the frames of the pack in its order.
func (w *packWriter) order() []uint32 {
	numbers := make([]uint32, 0, len(w.uses))
	for n := range w.uses {
		numbers = append(numbers, n)
	}
	slices.SortFunc(numbers, func(a, b uint32) int { return cmp.Or(cmp.Compare(w.uses[b], w.uses[a]), cmp.Compare(a, b)) })
	if len(numbers) > packFrequent {
		slices.Sort(numbers[packFrequent:])
	}
	return numbers
}

// encode appends the pack.
func (w *packWriter) encode(b []byte) []byte {
	order := w.order()
	var ids []libpf.FileID
	files := make(map[libpf.FileID]int) // numbers from 1 on
	place := make(map[uint32]int, len(order))
	for i, n := range order {
		place[n] = i
		if id := w.frames[n].FileID; !id.IsZero() && files[id] == 0 {
			ids = append(ids, id)
			files[id] = len(ids)
		}
	}
	b = append(b, packVersion)
	b = binary.AppendUvarint(b, uint64(len(w.stacks)))
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = id.AppendBytes(b)
	}
	b = binary.AppendUvarint(b, uint64(len(order)))
	last := make([]uint64, len(ids)+1)
	kind := libpf.UnknownFrame
	for _, n := range order {
		f := &w.frames[n]
		b = appendFrame(b, f, files[f.FileID], false, &last[files[f.FileID]], &kind)
	}
	var before []uint32
	shared := make([]int, len(w.stacks))
	for i := range w.stacks {
		path := w.stacks[i].path
		shared[i] = sharedPath(before, path)
		b = binary.AppendUvarint(b, uint64(shared[i])) //nolint:gosec // not negative
		before = path
	}
	for i := range w.stacks {
		b = binary.AppendUvarint(b, uint64(len(w.stacks[i].path)-shared[i])) //nolint:gosec // not negative
	}
	for i := range w.stacks {
		for _, n := range w.stacks[i].path[shared[i]:] {
			at := place[n]
			if at < packFrequent {
				b = append(b, byte(at)) //nolint:gosec // below packFrequent
				continue
			}
			at -= packFrequent
			b = append(b, byte(packFrequent+at>>8), byte(at)) //nolint:gosec // maxPackFrames leaves 15 of the high byte at most
		}
	}
	return b
}

// pack is a pack that can be read.
type pack struct {
	frames       []libpf.Frame
	shared, more []int
	numbers      []byte
}

// decodePack reads what encode made. The pack keeps b.
func decodePack(b []byte) (*pack, error) {
	if len(b) == 0 || b[0] != packVersion {
		return nil, fmt.Errorf("%w: pack of stacks of unknown version", errCodec)
	}
	d := decoder{b: b[1:]}
	n := d.count(2)
	ids := make([]libpf.FileID, d.count(16))
	for i := range ids {
		ids[i] = libpf.FileID{Hash128: d.hash()}
	}
	p := &pack{frames: make([]libpf.Frame, d.count(2))}
	last := make([]uint64, len(ids)+1)
	kind := libpf.UnknownFrame
	for i := range p.frames {
		tag := d.uvarint()
		file := tag >> 2
		if file > uint64(len(ids)) {
			return nil, fmt.Errorf("%w: file %d of a pack of %d", errCodec, file, len(ids))
		}
		if file > 0 {
			p.frames[i].FileID = ids[file-1]
		}
		d.frame(&p.frames[i], tag, &last[file], &kind)
		if d.err != nil {
			return nil, d.err
		}
	}
	if n > maxPackStacks {
		return nil, fmt.Errorf("%w: pack of %d stacks", errCodec, n)
	}
	lengths := make([]int, 2*n)
	for i := range lengths {
		v := d.uvarint()
		if v > maxPackNodes {
			return nil, fmt.Errorf("%w: stack with %d frames in a pack", errCodec, v)
		}
		lengths[i] = int(v) //nolint:gosec // bounded
	}
	p.shared, p.more, p.numbers = lengths[:n], lengths[n:], d.b
	return p, d.err
}

// stacks calls f with those stacks, root first, the positions of which are given in
// ascending order; nil: with all of them. The path is only valid during the call.
func (p *pack) stacks(positions []int, f func(at int, path []uint32) error) error {
	var path []uint32
	b := p.numbers
	next, end := 0, len(p.shared)
	if positions != nil {
		if len(positions) == 0 {
			return nil
		}
		if last := positions[len(positions)-1]; last >= end || positions[0] < 0 {
			return fmt.Errorf("%w: stack %d of a pack of %d", errCodec, last, end)
		}
		end = positions[len(positions)-1] + 1
	}
	for i := range end {
		if p.shared[i] > len(path) {
			return fmt.Errorf("%w: stack in a pack shares more than there is", errCodec)
		}
		path = path[:p.shared[i]]
		for range p.more[i] {
			if len(b) == 0 {
				return fmt.Errorf("%w: pack of stacks is cut short", errCodec)
			}
			n := int(b[0])
			b = b[1:]
			if n >= packFrequent {
				if len(b) == 0 {
					return fmt.Errorf("%w: pack of stacks is cut short", errCodec)
				}
				n = packFrequent + (n-packFrequent)<<8 + int(b[0])
				b = b[1:]
			}
			if n >= len(p.frames) {
				return fmt.Errorf("%w: frame %d of a pack of %d", errCodec, n, len(p.frames))
			}
			path = append(path, uint32(n)) //nolint:gosec // bounded
		}
		if positions != nil {
			if positions[next] != i {
				continue
			}
			for next < len(positions) && positions[next] == i {
				next++
			}
		}
		if err := f(i, path); err != nil {
			return err
		}
	}
	if positions == nil && len(b) > 0 {
		return fmt.Errorf("%w: %d bytes behind a pack of stacks", errCodec, len(b))
	}
	return nil
}

// framesOf returns the frames of a stack, leaf first.
func (p *pack) framesOf(path []uint32) []libpf.Frame {
	frames := make([]libpf.Frame, len(path))
	for i, n := range path {
		frames[len(frames)-1-i] = p.frames[n]
	}
	return frames
}

// stackRef is where a packed stack is.
type stackRef struct {
	pack     uint64
	position int
}

// appendRef appends what is stored in place of the frames of a packed stack.
func appendRef(b []byte, r stackRef) []byte {
	b = append(b, stackMark, stackPacked)
	b = binary.AppendUvarint(b, r.pack)
	return binary.AppendUvarint(b, uint64(r.position)) //nolint:gosec // not negative
}

// decodeRef returns where the frames of a stack are. ok is false when they are here.
func decodeRef(b []byte) (r stackRef, ok bool, err error) {
	if len(b) < 2 || b[0] != stackMark || b[1] != stackPacked {
		return r, false, nil
	}
	d := decoder{b: b[2:]}
	r.pack = d.uvarint()
	position := d.uvarint()
	if d.err == nil && (position >= maxPackStacks || len(d.b) > 0) {
		d.err = fmt.Errorf("%w: place of a stack in a pack", errCodec)
	}
	r.position = int(min(position, maxPackStacks)) //nolint:gosec // bounded
	return r, true, d.err
}
