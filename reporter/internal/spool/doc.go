// SPDX-License-Identifier: Apache-2.0

// Package spool keeps sealed batches on disk, in the order in which they came,
// within a cap of bytes, until they are settled.
//
// # Files
//
// A directory of mode 0700 holds two streams of append-only segments, samples
// ("counts") and what explains them ("definitions"), files of mode 0600 of at most
// 4 MiB or a 32nd of the cap. The name of a segment is its stream and the order
// number of its first record. A record is a header with a checksum of its own and a
// payload, compressed with zstd, with another; order numbers ascend across both
// streams, so that reading merges them into the order of writing. There is no
// manifest: a start reads the headers alone.
//
// Beside a segment lies a list of its records that are settled, appended as they
// are and allowed to lag: what is missing in it is sent once more, and the
// batch's identity keeps it from being stored twice. Only the entry of a record
// that others took the place of is durable, and they before it, since they have
// other identities. A segment whose records are all settled is removed. A segment
// of an earlier run is never written to again.
//
// # Damage
//
// A header or a payload that does not match its checksum costs itself: reading goes
// on at the next intact header. A segment that vanished or cannot be read costs its
// own records. Each is counted by reason and logged, and its weight is reported.
//
// A segment of another format is not damaged: it is left to the version of the agent
// that wrote it, and goes before that only when the cap leaves no other choice.
//
// # The cap
//
// Before a record would exceed the cap, the oldest segment of counts goes, and one
// of definitions only when there are no counts left. What goes is reported.
package spool
