// SPDX-License-Identifier: Apache-2.0

// Package embedded is the store of a single machine. It needs nothing but a
// directory on a local disk.
//
// # Files
//
//	LOCK                  held by the process that has the store open
//	wal/NNNNNNNNNN.wal    samples that were acknowledged but are not in a block yet
//	wal/quarantine/       parts of the log that could not be read, kept for inspection
//	blocks/*.parquet      immutable blocks of samples, readable by any Parquet reader
//	meta/                 Pebble: definitions, batch windows, list of blocks with their series
//
// # The life of a sample
//
// A batch is encoded by the goroutine that calls Append and handed to the one
// committer, which writes all batches that wait with one write and one fsync,
// adds them to the head in memory and acknowledges them. When the head has
// reached its size or age the committer starts a new head and a new log segment;
// the flusher sorts the old head, writes it as a block (temporary file, fsync,
// rename, fsync of the directory), and then commits three things to Pebble in one
// synced batch: the block, the batch windows as they were when the head was
// cut, and the first log segment that is still needed. Only then are older
// segments deleted. A crash between any two steps leaves either the segments
// or the block in force, never both and never none.
//
// # Exactly once
//
// A batch's identity stands in its log record, so replaying the log also
// replays the windows; the windows in Pebble cover exactly what the blocks hold.
//
// # What is not here yet
//
// Compaction of blocks, roll-ups and retention. Expire already works by
// unlinking whole blocks; what a block that straddles the limit holds from
// before it is hidden at once and goes with the block.
package embedded
