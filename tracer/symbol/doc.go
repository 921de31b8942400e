// SPDX-License-Identifier: Apache-2.0

// Package symbol turns addresses into names: of native code from the symbol
// tables of executables and of their separate debug files, of Go code from its
// function table with inlined calls expanded, of code made at run time from the
// perf maps that runtimes write, and of the kernel from /proc/kallsyms.
//
// # Addresses
//
// [Symbolizer.Native] takes virtual addresses of the ELF file, not of a
// process. An address that came from the stack must already lie inside the call
// instruction, one below the return address. An address that has no name is
// shown as binary+0xADDRESS with the same virtual address, which is what
// addr2line and objdump take.
//
// # Names
//
// Of several names for one address the one is taken that a person would use:
// sized functions before labels, exported before local, then fewest leading
// underscores, then the shortest. C++ and Rust names are demangled with their
// parameters. What compilers add to the name of a piece of a function (.cold,
// .part.0, .constprop.0, .isra.0, .lto_priv.0, .llvm.123) is left out, so that
// the pieces count as their function. The linker's name is kept in SystemName
// when it differs. Calls through the procedure linkage table are name@plt. An
// address outside every symbol's size has no name: showing the nearest one
// would be wrong.
//
// # Memory
//
// Tables are compact (8 bytes and the name for each range of addresses), belong
// to an executable's [libpf.FileID], serve all its processes, and are evicted
// least recently used when together they exceed Config.MaxBytes. Loading reads
// one executable at a time.
//
// # Hostile files
//
// Executables, debug data and perf maps are written by strangers. Sizes are
// bounded before memory is taken; names are cut at 1 KiB, visibly, and made
// valid UTF-8 without control characters.
package symbol
