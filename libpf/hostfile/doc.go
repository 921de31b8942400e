// SPDX-License-Identifier: Apache-2.0

// Package hostfile opens files that others chose: executables and libraries of
// processes, the debug files that these name, perf maps. Whoever runs a process
// decides what its paths lead to, and the agent has more privileges than they do.
// Therefore
//
//   - a file is first opened as a path only, which has no effect on what is there,
//     and for reading when it is known to be a regular file: a device may do
//     something when it is opened, and a FIFO waits for a writer;
//   - a regular file of a file system that makes its files up, such as /proc or
//     tracefs, is refused as well: reading /proc/kmsg takes messages away from
//     others, and some wait for ever;
//   - a path inside the root of a process is resolved with that root as "/", so that
//     no symbolic link and no ".." leads out of it ([OpenInRoot]);
//   - sizes are bounded, and files are read, never mapped: what is cut short by its
//     owner gives a short read and no signal.
//
// What remains is a file system that does not answer, such as NFS without its
// server. Nothing can be done about that in the process that reads.
//
// Refusals are errors that match [ErrRefused], and are counted by reason: see [Refusals].
package hostfile
