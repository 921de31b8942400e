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
// # When the server is away
//
// While the server takes what it is sent, batches live in memory. Once it does not,
// for whatever reason, or once memory fills up, they go to the spool
// (Options.SpoolDir) in their order, at every report interval, so an agent that is killed
// during an outage loses only what was reported since the last flush. What a run leaves
// there, by its end or by its death, the next run takes over: it is sent first, in the
// order in which it was sealed, as the same bytes under its old identity and with its
// original times. A file that lists what is settled may lag, and then a batch is sent
// once more and recognized by the server. One batch is on its way at a time, also while
// a long outage is made up for; what is reported meanwhile waits its turn behind it.
//
// All types of batches are spooled. Over Options.SpoolMaxBytes the oldest samples (and
// metrics) are given up first; definitions go only when there are no samples left,
// and are unknown again then. Without a spool, or while its disk is full, read-only, in
// use by another reporter or broken otherwise, batches stay in memory, the queues sum and
// then drop, and the spool is tried again every six intervals.
//
// # What the server says
//
// A batch that is too large is cut, and the limit is remembered until the next
// handshake; one that is invalid is cut to find the item that is, which is set aside;
// samples outside of the server's window of time are left out and the rest is sealed anew.
// A batch on which the server fails waits for itself while others pass, and is set aside
// when it fails for ever. A server that is busy is left alone for as long as it says and
// a random time on top, in proportion, that grows with every attempt. A server that
// refuses the agent, for its token, its permission or its version, is asked again slowly;
// a new token in Options.TokenFile is tried at once. None of it ends the reporter.
//
// # OTLP
//
// [OTLPReporter] has the same queues, batches, spool and ledger. Its requests have no
// identity and carry all definitions that they need, so nothing is remembered of what the
// server knows. They travel over gRPC or HTTP (Options.Protocol), and [OTLPFromEnvironment]
// reads what OpenTelemetry's exporters read from the environment. What an answer means is
// as OTLP has it: what it does not allow to repeat is dropped and counted, and so is what a
// partial success leaves out. A backend that refuses the agent for its token, or an address
// that leads elsewhere, is asked again slowly, and a request that is too large is cut.
// docs/otlp.md has the list. The spools of the two protocols lie beside each other, and
// neither reporter touches the other's.
//
// # What is lost
//
// Nothing without a counter and a reason: at all times captured = stored + queued +
// spooled + dropped, by weight, see [GRPCReporter.Status]; the server is told the same
// every ten seconds. Captured includes what earlier runs had left on disk. Samples of the same
// key are summed, at ever coarser time, before one is dropped from the queue.
package reporter
