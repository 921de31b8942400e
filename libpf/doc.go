// SPDX-License-Identifier: Apache-2.0

// Package libpf holds the value types that every part of Strobe speaks: the
// identities of executables, frames and stacks, the stacks themselves, and the
// samples that refer to them.
//
// # Identity
//
// A [FileID] names the content of an executable, a [FrameID] a place inside
// it, and a [TraceHash] a whole stack. A hash is the key under which counts are
// summed on the host, on the wire and in the store, so two stacks that differ
// in anything a person could see must have different hashes: [HashTrace] covers
// the frame type, file and address of every frame and, where a frame carries
// them as part of its identity, its function, source file and line.
//
// # Order
//
// Frame 0 of a [Trace] is the leaf, the code that was running. The address of
// every other frame is the return address minus one, so that it lies inside the
// call instruction.
//
// All types are plain values. They are safe to share between goroutines as long
// as nobody changes them after they were handed over.
package libpf
