// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// image is an assembly's PE file in the memory of a process: mapped section by
// section, or as the file is.
type image struct {
	mem      process.Memory
	base     uint64
	flat     bool
	size     uint32 // of the image
	stamp    uint32 // of its build
	sections []peSection
	meta     *metadata
	// functions is the table of functions that were compiled ahead of time.
	functions uint64
	count     uint32
	header    uint32 // RVA of the ReadyToRun header, 0 if there is none
	entries   *entryTable
}

type peSection struct{ rva, size, offset, fileSize uint32 }

const (
	peMagic       = 0x4550 // "PE\0\0"
	pe64          = 0x20b
	maxPESections = 96
	dirExceptions = 3
	dirCLI        = 14
)

var errImage = errors.New("image of an assembly is damaged")

// openImage reads the headers of an image.
func openImage(mem process.Memory, base uint64) (*image, error) {
	le := binary.LittleEndian
	pe, err := mem.Uint32(base + 0x3c)
	if err != nil {
		return nil, err
	}
	var b [24 + 240]byte
	if pe > 4096 {
		return nil, fmt.Errorf("%w: no header", errImage)
	}
	if err := mem.Read(b[:], base+uint64(pe)); err != nil {
		return nil, err
	}
	if le.Uint32(b[:]) != peMagic {
		return nil, fmt.Errorf("%w: no signature", errImage)
	}
	img := &image{mem: mem, base: base, stamp: le.Uint32(b[8:]), size: le.Uint32(b[24+56:])}
	directories := 24 + 112
	if le.Uint16(b[24:]) != pe64 {
		directories = 24 + 96 // assemblies without compiled code may be for 32 bits
	}
	directory := func(i int) (rva, size uint32) {
		at := directories + 8*i
		return le.Uint32(b[at:]), le.Uint32(b[at+4:])
	}
	sections := min(le.Uint16(b[6:]), maxPESections)
	at := base + uint64(pe) + 24 + uint64(le.Uint16(b[20:]))
	for i := range uint64(sections) {
		var s [40]byte
		if err := mem.Read(s[:], at+40*i); err != nil {
			return nil, err
		}
		img.sections = append(img.sections, peSection{
			size: le.Uint32(s[8:]), rva: le.Uint32(s[12:]), fileSize: le.Uint32(s[16:]), offset: le.Uint32(s[20:]),
		})
	}
	cli, _ := directory(dirCLI)
	if err := img.openMetadata(cli); err != nil {
		return nil, err
	}
	rva, size := directory(dirExceptions)
	img.functions, img.count = img.addr(rva), size/functionBytes
	return img, nil
}

// openMetadata finds the metadata, and so whether the image is flat.
func (img *image) openMetadata(cli uint32) error {
	if cli == 0 {
		return fmt.Errorf("%w: no metadata", errImage)
	}
	var err error
	for _, img.flat = range []bool{false, true} {
		var b [72]byte
		if err = img.mem.Read(b[:], img.addr(cli)); err != nil {
			continue
		}
		if binary.LittleEndian.Uint32(b[:]) != uint32(len(b)) {
			err = fmt.Errorf("%w: no header of managed code", errImage)
			continue
		}
		if img.meta, err = readMetadata(img.mem, img.addr(binary.LittleEndian.Uint32(b[8:]))); err == nil {
			img.header = binary.LittleEndian.Uint32(b[64:])
			return nil
		}
	}
	return err
}

// addr returns where a relative address of the image is in memory, 0 for none.
func (img *image) addr(rva uint32) uint64 {
	if !img.flat {
		return img.base + uint64(rva)
	}
	for _, s := range img.sections {
		if rva-s.rva < max(s.size, s.fileSize) && rva >= s.rva {
			return img.base + uint64(s.offset) + uint64(rva-s.rva)
		}
	}
	return 0
}

// imageAt returns the image that is loaded at an address.
func (i *instance) imageAt(base uint64) (*image, error) {
	if img, ok := i.byImage[base]; ok {
		return img, nil
	}
	img, err := openImage(i.mem, base)
	if err != nil {
		return nil, err
	}
	if len(i.byImage) >= maxModules {
		clear(i.byImage)
	}
	i.byImage[base] = img
	return img, nil
}
