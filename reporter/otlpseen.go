// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/strobe-profiler/strobe/libpf"
)

// seenFrames finds the locations of frames that were written already. It is a map by
// what a frame is, names included, which holds no copy of that: frames do not change
// while a request is written.
type seenFrames struct {
	slots []seenFrame // a power of two of them
	used  int
}

type seenFrame struct {
	frame    *libpf.Frame // nil: none
	sum      uint32
	location int32
}

func (s *seenFrames) reset() {
	if cap(s.slots) > maxKept/16 {
		s.slots = nil
	}
	clear(s.slots)
	if s.slots == nil {
		s.slots = make([]seenFrame, minSlots)
	}
	s.used = 0
}

// find returns the slot of a frame, which is empty when it is new.
func (s *seenFrames) find(f *libpf.Frame) *seenFrame {
	if 4*s.used >= 3*len(s.slots) {
		s.grow()
	}
	sum := sumOfFrame(f)
	slot := s.probe(sum, func(have *libpf.Frame) bool { return sameFrame(have, f) })
	if slot.frame == nil {
		slot.sum = sum
	}
	return slot
}

// fill fills a slot that find returned, and since when nothing else was looked for.
func (s *seenFrames) fill(slot *seenFrame, f *libpf.Frame, location int32) {
	slot.frame, slot.location = f, location
	s.used++
}

func (s *seenFrames) probe(sum uint32, same func(*libpf.Frame) bool) *seenFrame {
	mask := uint32(len(s.slots) - 1) //nolint:gosec // bounded by the frames of a request
	for at := sum & mask; ; at = (at + 1) & mask {
		slot := &s.slots[at]
		if slot.frame == nil || (slot.sum == sum && same(slot.frame)) {
			return slot
		}
	}
}

func (s *seenFrames) grow() {
	old := s.slots
	s.slots = make([]seenFrame, 2*len(old))
	for _, slot := range old {
		if slot.frame != nil {
			*s.probe(slot.sum, func(*libpf.Frame) bool { return false }) = slot
		}
	}
}

// sumOfFrame leaves out the names that were found for an address: few addresses have several.
func sumOfFrame(f *libpf.Frame) uint32 {
	n := uint64(f.Type)
	if f.FunctionName != "" || f.SourceFile != "" {
		n ^= xxh3.HashStringSeed(f.FunctionName, xxh3.HashString(f.SourceFile)) + uint64(f.SourceLine)
	}
	const odd = 0x9e3779b97f4a7c15
	hi, lo := bits.Mul64(f.FileID.Lo()^uint64(f.AddressOrLineno)^odd, f.FileID.Hi()+n^bits.ReverseBytes64(uint64(f.AddressOrLineno))^odd>>1)
	n = (hi ^ lo) * odd
	return uint32(n >> 32) //nolint:gosec // the upper half
}

func sameFrame(a, b *libpf.Frame) bool {
	return a.AddressOrLineno == b.AddressOrLineno && a.FileID == b.FileID && a.Type == b.Type && a.FunctionName == b.FunctionName &&
		a.SourceFile == b.SourceFile && a.SourceLine == b.SourceLine && len(a.Lines) == len(b.Lines) &&
		(firstOf(a.Lines) == firstOf(b.Lines) || slices.Equal(a.Lines, b.Lines))
}
