// SPDX-License-Identifier: Apache-2.0

package gopclntab

import "github.com/strobe-profiler/strobe/libpf/pfelf"

// Open reads the function table of an ELF file. Files whose sections are
// missing or renamed are searched for it if they look like Go, or like nothing
// at all. The error wraps [ErrNotFound] for files that have no table and
// [ErrCorrupt] for broken ones. f must stay open while the table is used.
func Open(f *pfelf.File) (*Table, error) {
	return openELF(f.File, len(f.Sections) == 0 || f.IsGo())
}
