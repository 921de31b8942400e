// SPDX-License-Identifier: Apache-2.0

// Package tracer takes samples of everything that runs on a host: it loads and
// attaches the eBPF programs of package support, serves their requests, reads
// their records and turns raw frames into [libpf.Frame]s.
//
// # How a sample travels
//
// The kernel side unwinds a stack and puts a record into a ring. One goroutine
// reads the ring every 100 ms, looks the stack up by the hash that the kernel
// computed, converts and names it when it is new, and hands a [libpf.Sample] to
// the [Sink]. A stack that user space holds is confirmed to the kernel, which
// from then on sends its hash alone.
//
// A second goroutine serves requests: a file that was mapped for the first
// time, a page of an unwind table that a stack ran into, a process whose
// mappings the kernel could not follow. It owns the slab of unwind rows, which
// never exceeds Config.UnwindTableBytes: cold pages make room for hot ones.
//
// # Concurrency
//
// A [Tracer] is run once. Its goroutines end before [Tracer.Run] returns.
package tracer
