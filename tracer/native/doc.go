// SPDX-License-Identifier: Apache-2.0

// Package native turns the unwind information of executables into small tables
// that say, for every place in the code, how to get from a frame to its caller.
//
// # Tables
//
// Everything is keyed by offsets in the file, which follow from an address and
// its mapping alone (address - start of mapping + offset of mapping). A page is
// 64 KiB of a file. The rows of a page are sorted by [Row.PCLow], the lower 16
// bits of the offset; the first row has PCLow 0, and a row holds up to the next
// one. Rows are made on demand, page by page: what was never executed costs
// nothing. [Tables.Page] makes them.
//
// A return address lies behind the call, perhaps already in the next function.
// It is looked up minus one; an interrupted address is looked up as it is.
//
// # Rules
//
// A row's rule has 16 bits. If bit 15 is set, the other bits are an index:
// below [FirstRule] one of the constants such as [RuleStop], else a [Rule] of
// the [Interner]. If bit 15 is clear, the rule is inline, with the canonical
// frame address (CFA, the stack pointer of the caller) as
//
//	bit  14     base: 0 stack pointer, 1 frame pointer
//	bits 13..5  offset from the base, in units of 8 bytes
//	bits 4..0   n, where the caller's registers are
//
// On x86-64 the return address is at CFA-8; n = 0: the caller's RBP is in RBP,
// n > 0: it is at CFA-8-8n.
//
// On arm64, n = 0: the return address is in LR and the caller's frame pointer
// in X29, as only a leaf or a prologue can have it; n = 1: a frame record
// {caller's X29, return address} is at CFA-offset, the bottom of the frame;
// n > 1: a frame record is at CFA-16(n-1). Other shapes are interned, with
// [RADefault] meaning that the return address is in LR.
//
// # Sources
//
// In this order, each for the places that the ones before it do not know:
// .eh_frame, by the search table of .eh_frame_hdr or, in static programs that
// have none, as a whole; Go's function table; .debug_frame, also that of
// .gnu_debugdata; and knowledge of code that nothing describes, such as
// procedure linkage tables and signal returns. What remains has [RuleInvalid],
// and the frame pointer is the best guess.
//
// # Hostile files
//
// The files are written by strangers. Each length is checked, work and memory
// per page and file are bounded, and what is cut for that is counted in
// [Stats].
package native
