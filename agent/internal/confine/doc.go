// SPDX-License-Identifier: Apache-2.0

// Package confine takes away from a running agent what it needed to start and
// does not need any more, so that whoever finds a hole in it finds little behind.
//
// [Early] is for the first moment: files that the process makes are for its own
// user only, nothing that it could execute gains privileges, and it leaves no
// core dump and lets no other process of its user look inside, because its
// memory holds what it read of others and a token. Reading its own /proc files
// stays possible, and so do the profiles that it makes of itself.
//
// [Drop] is for the moment when everything runs. The agent opens files of other
// users, looks into other processes, and loads more eBPF programs when a process
// with another runtime turns up, so it keeps what that takes; see [Needed].
//
// Linux has capabilities per thread. Drop asks the Go runtime to do the same in
// all threads, which works in programs built without cgo only, as the agent is.
package confine
