// SPDX-License-Identifier: Apache-2.0

package native

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ulikunitz/xz/lzma"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

const (
	// maxDebugFrame bounds a .debug_frame that is kept in memory because it is
	// compressed. In files that need one it describes assembly code.
	maxDebugFrame = 32 << 20
	// maxMiniDebug bounds what .gnu_debugdata may unpack to.
	maxMiniDebug = 64 << 20
)

// debugFrames is .debug_frame. It is opened when code is asked for that no
// other table describes, as many files have one and few need it.
type debugFrames struct {
	once    sync.Once
	mu      sync.Mutex // for held
	section *frameSection
	list    fdeList
	held    int // bytes of unpacked data
}

// get returns the section and its index, nil if there is none.
func (d *debugFrames) get(t *Tables) (*frameSection, fdeList) {
	d.once.Do(func() {
		section, held := openDebugFrame(t.file)
		if section == nil {
			return
		}
		section.isa = t.isa
		list, cut := listFDEs(section)
		t.stats.badEntries.Add(uint64(cut)) //nolint:gosec // not negative
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(list) > 0 {
			d.section, d.list, d.held = section, list, held
		}
	})
	return d.section, d.list
}

func (d *debugFrames) memory() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.section == nil {
		return 0
	}
	return d.held + d.list.bytes() + d.section.memory()
}

// openDebugFrame finds the .debug_frame of a file or of its .gnu_debugdata.
func openDebugFrame(f *pfelf.File) (section *frameSection, held int) {
	if section, held = debugFrameOf(f); section != nil {
		return section, held
	}
	mini, err := openMiniDebug(f)
	if err != nil {
		return nil, 0
	}
	section, _ = debugFrameOf(mini)
	if section == nil {
		return nil, 0
	}
	// Keep the section, not the file around it.
	b := make([]byte, section.size)
	if _, err := section.r.ReadAt(b, int64(section.base)); err != nil && !errors.Is(err, io.EOF) { //nolint:gosec // inside the file
		return nil, 0
	}
	section.r, section.base = bytes.NewReader(b), 0
	return section, len(b)
}

func debugFrameOf(f *pfelf.File) (section *frameSection, held int) {
	if s := f.FindSection(".debug_frame"); s != nil && s.Size == s.FileSize {
		size := uint64(f.Size()) //nolint:gosec // a size is not negative
		if s.Offset >= size {
			return nil, 0
		}
		return &frameSection{r: f, base: s.Offset, size: min(s.FileSize, size-s.Offset), debug: true}, 0
	} else if s != nil && s.Size > maxDebugFrame {
		return nil, 0
	}
	b, err := f.SectionUpTo(".debug_frame", maxDebugFrame)
	if err != nil {
		return nil, 0
	}
	return &frameSection{r: bytes.NewReader(b), size: uint64(len(b)), debug: true}, len(b)
}

// openMiniDebug unpacks the small ELF file of .gnu_debugdata.
func openMiniDebug(f *pfelf.File) (*pfelf.File, error) {
	packed, err := f.SectionUpTo(".gnu_debugdata", maxDebugFrame)
	if err != nil {
		return nil, err
	}
	b, err := unxz(packed)
	if err != nil {
		return nil, err
	}
	return pfelf.NewFile(bytes.NewReader(b), int64(len(b)))
}

// unxz unpacks the first block of an xz file, which is all there is of files
// of some MiB. The container is read here because the xz package allocates
// whatever dictionary a header asks for; checksums are left aside, as nothing of
// the content is trusted.
func unxz(packed []byte) ([]byte, error) {
	const streamHeader = 12
	bad := fmt.Errorf("%w: xz container", errFormat)
	if len(packed) < streamHeader+8 || string(packed[:6]) != "\xfd7zXZ\x00" {
		return nil, bad
	}
	block := packed[streamHeader:]
	size := (int(block[0]) + 1) * 4
	if block[0] == 0 || size > len(block) {
		return nil, bad
	}
	d := data{b: block[1:size]}
	flags := d.u8()
	for _, optional := range [...]uint8{0x40, 0x80} { // the block's sizes
		if flags&optional != 0 {
			d.uleb()
		}
	}
	const lzma2 = 0x21
	if flags&0x3f != 0 || d.uleb() != lzma2 || d.uleb() != 1 {
		return nil, bad // more than one filter, or another one
	}
	dict, err := lzma.DecodeDictCap(d.u8())
	if err != nil || d.bad {
		return nil, bad
	}
	// More of a dictionary than what may come out is never looked at.
	cfg := lzma.Reader2Config{DictCap: int(max(min(dict, maxMiniDebug), lzma.MinDictCap))}
	r, err := cfg.NewReader2(bytes.NewReader(block[size:]))
	if err != nil {
		return nil, fmt.Errorf("unpack .gnu_debugdata: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxMiniDebug))
	if err != nil {
		return nil, fmt.Errorf("unpack .gnu_debugdata: %w", err)
	}
	return b, nil
}
