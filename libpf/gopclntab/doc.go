// SPDX-License-Identifier: Apache-2.0

// Package gopclntab reads the function table that every Go program carries, in
// the layouts of Go 1.16 to 1.27: where functions begin and end, how the stack
// pointer moves inside them, their names, files and lines, and which functions
// were inlined where.
//
// # Addresses
//
// All addresses are virtual addresses of the ELF file, before relocation. The
// table itself stores offsets from the symbol runtime.text, and that address is
// not always in the table: Go 1.26 leaves the field empty, external linkers
// leave it to a relocation, and in a program with cgo it is not the start of
// .text. It is therefore taken from the runtime's module data, which is found
// by looking for a pointer to the table, in the data segments or in the
// relocations. The module data also tells where the inline trees are.
//
// # Memory
//
// A [Table] keeps 8 bytes for each function and a few windows of the file. All
// else is read from the file when it is asked for, so the file has to stay open
// for as long as the table is used.
//
// # Hostile files
//
// The files are written by strangers. Every offset and length is checked; a
// broken table ends in [ErrCorrupt], never in a panic or an endless loop.
package gopclntab
