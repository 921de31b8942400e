// SPDX-License-Identifier: Apache-2.0

// Package pfelf reads ELF images as a profiler meets them: executables that
// were deleted, replaced or live in another mount namespace, images that exist
// only in memory such as the vdso, and files that somebody made to hurt.
//
// It is a thin layer over debug/elf. All access goes through io.ReaderAt (pread
// for files), never through a memory mapping: a file that is truncated while it
// is mapped would kill the process with SIGBUS. Every size that comes from the
// file is checked against the file's size or a fixed cap before memory is
// allocated for it. Section headers are optional: if they are missing or
// damaged, the file opens with no sections and everything that the program
// headers tell still works.
package pfelf
