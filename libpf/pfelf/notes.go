// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"debug/elf"
	"encoding/hex"
)

const (
	// maxNotes bounds the notes read from one segment or section. Core files
	// have large ones, executables have some hundred bytes.
	maxNotes = 64 << 10
	// maxNoteParts bounds how many segments and sections are looked at. Files have
	// a handful; a thousand may all claim the same bytes.
	maxNoteParts = 64

	noteGNUBuildID = 3
	noteGoBuildID  = 4
)

// noteIDs are the identities that notes hold.
type noteIDs struct{ gnu, golang string }

// BuildID returns the GNU build ID in lower-case hexadecimal, or "".
func (f *File) BuildID() string { return f.ids().gnu }

// GoBuildID returns the build ID that the Go toolchain wrote, or "".
func (f *File) GoBuildID() string { return f.ids().golang }

func (f *File) ids() noteIDs {
	f.notesOnce.Do(func() {
		parts := 0
		for _, p := range f.Progs {
			if p.Type == elf.PT_NOTE && parts < maxNoteParts {
				parts++
				f.readNotes(p.Off, p.Filesz, p.Align)
			}
		}
		for _, s := range f.Sections {
			if s.Type == elf.SHT_NOTE && s.Flags&elf.SHF_COMPRESSED == 0 && parts < maxNoteParts {
				parts++
				f.readNotes(s.Offset, s.FileSize, s.Addralign)
			}
		}
	})
	return f.notes
}

// readNotes takes the build IDs from the notes at the given place, keeping
// those found before.
func (f *File) readNotes(off, size, align uint64) {
	if f.notes.gnu != "" && f.notes.golang != "" {
		return
	}
	b, err := f.ReadRange(off, min(size, maxNotes))
	if err != nil {
		return
	}
	step := 4
	if align == 8 {
		step = 8
	}
	eachNote(b, step, f.ByteOrder.Uint32, func(name, desc []byte, typ uint32) {
		switch {
		case typ == noteGNUBuildID && string(name) == "GNU\x00" && f.notes.gnu == "":
			f.notes.gnu = hex.EncodeToString(desc)
		case typ == noteGoBuildID && string(name) == "Go\x00\x00" && f.notes.golang == "":
			f.notes.golang = string(desc)
		}
	})
}

// eachNote calls fn for every whole note in b. Name and content are padded to
// multiples of align.
func eachNote(b []byte, align int, u32 func([]byte) uint32, fn func(name, desc []byte, typ uint32)) {
	const header = 12
	for len(b) >= header {
		nameLen, descLen, typ := uint64(u32(b)), uint64(u32(b[4:])), u32(b[8:])
		a := uint64(align) //nolint:gosec // 4 or 8
		descAt := (header + nameLen + a - 1) &^ (a - 1)
		end := descAt + descLen
		if end > uint64(len(b)) {
			return
		}
		fn(b[header:header+nameLen], b[descAt:end], typ)
		b = b[min((end+a-1)&^(a-1), uint64(len(b))):]
	}
}

// IsGo reports whether the Go toolchain linked the file.
func (f *File) IsGo() bool {
	if f.GoBuildID() != "" {
		return true
	}
	for _, name := range [...]string{".gopclntab", ".data.rel.ro.gopclntab", ".go.buildinfo"} {
		if f.FindSection(name) != nil {
			return true
		}
	}
	return false
}
