// SPDX-License-Identifier: Apache-2.0

// Package reporter carries what a host's profiler finds to where it is stored:
// to a collection agent ([Start], [GRPCReporter]) or to any OpenTelemetry
// backend ([StartOTLP], [OTLPReporter]).
//
// # The way of a sample
//
// [GRPCReporter.ReportSample] appends to a bounded queue and returns; it does not
// encode, look anything up, or wait. Every report interval one goroutine takes a
// lease on the queue, works out which definitions the server lacks for it
// (executables, names of frames, stacks), seals definitions and samples into
// batches in that order, and sends them. A batch is bytes with an identity: host,
// run, type, sequence. It leaves memory when the server has acknowledged it, and a
// repeated batch is the same bytes under the same identity, so the server stores it
// once however often it travels.
//
// # What the server knows
//
// "The server knows this stack" is recorded only when the server has said so, and
// for one life of its memory, its epoch. A new epoch, or a list of unknown
// hashes in a response, makes the definitions travel again; batches keep what they
// refer to until they are acknowledged for that purpose. A definition whose queue
// overflowed is simply not known yet, and travels with the next sample that needs it.
//
// # What is lost
//
// Nothing without a counter and a reason: at all times captured = stored + queued +
// dropped, see [GRPCReporter.Status]. Samples of the same key are summed, at ever
// coarser time, before one is dropped.
package reporter
