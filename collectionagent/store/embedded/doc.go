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
//	blocks/*-1s.parquet   their sums per second without stacks, *-1m.parquet and
//	                      *-1h.parquet per minute and hour, *-all.parquet in total
//	reserve               room that is given up when the disk is full
//	unused                which definitions nothing referred to when that was looked at
//	meta/                 Pebble: definitions, batch windows, list of blocks with their series
//
// # The life of a sample
//
// A batch is handed to the one committer, which looks up its series and stacks in the
// tables of the head in memory, writes all batches that wait as one record with one write
// and one fsync, adds them to the head and acknowledges them. The log names series and
// stacks by number, see segmentCode; the numbers of a write that failed are taken back, and
// its segment is left. When the head has reached its size or age the committer starts a
// new head and a new log segment; the flusher sorts the old head, writes it as a block
// (temporary file, fsync, rename, fsync of the directory), and then commits three things to
// Pebble in one synced batch: the block, the batch windows as they were when the head was
// cut, and the first log segment that is still needed. Only then are older
// segments deleted. A crash between any two steps leaves either the segments
// or the block in force, never both and never none.
//
// # Exactly once
//
// A batch's identity stands in its log record, so replaying the log also
// replays the windows; the windows in Pebble cover exactly what the blocks hold.
//
// # Blocks
//
// A block of level 0 is a flushed head: all projects and types of the time when it
// was filled. In the background blocks are merged into blocks of one project and
// type each: level 1 has windows of 2 hours, level 2 of a day, aligned to the epoch.
// A window is merged when its time is over, and again when enough came late. Heads are
// merged before that when they are many or large, or when queries have read them so
// often that to merge them costs less; how much merging takes from others follows from
// what waits for it, see backlog. A day
// with many samples stays in windows of 2 hours, because a query for minutes reads
// the times of all samples of a series in a block. Rows are sorted by series, hash of
// the stack and time, in every block, so that a merge reads and writes each row once
// and holds a few pages of each block and no table of series.
//
// In the same pass a merge makes the companions of the block: sums per minute and
// per hour by service, host, host ID and stack, sums of the whole block by service
// and stack, and sums per second by service, host and host ID, which go with the samples. Their columns are project, type, service, host, host_id, stack, time (start
// of the minute or hour; 0 in totals), count and value; several rows for the same
// sum add up. One that has not many fewer rows than the samples is left out; it is
// made when the samples are dropped and their sums stay.
//
// # Answers
//
// A query reads of each block the companion with the fewest rows that gives exactly
// what the samples would give: one that knows all labels that are asked for and
// whose minutes or hours lie whole in the range and in the buckets of the answer. What
// it needs of the list and of the tables is read first; a block that is replaced on
// the way is read to its end, and the query begins again when it was too late for
// that. A sample that comes late lies in another block, with its own companions, so
// no roll-up is ever out of date.
//
// # Changes of blocks
//
// Merging, dropping, deleting and expiring go one way: new files are written, synced
// and named, the directory is synced, one synced batch in Pebble swaps the entries of
// the list, and then the old files are removed. A crash leaves files that are not
// listed, which the next start removes. A block that cannot be read is set aside:
// the rest is merged, it stays as it is.
//
// Expire takes blocks off the list that are older than the limit as a whole; what a
// block that straddles it holds from before it is hidden at once and goes when
// the block is merged or expires.
//
// # Removal
//
// Retention by age hides at query time what is too old, by project and type and as far
// as the roll-ups that may answer have expired too, and takes files off the list when
// all their rows have. Retention by bytes takes the oldest samples, then the oldest
// sums, and notes up to which time (the horizon of answers). Delete writes blocks with
// selected rows again, after the head has become a block and the log is empty; deleting
// a whole project bars its writes meanwhile, removes its definitions and windows in one
// batch at the end, and makes Pebble write its tables and logs anew. Definitions that
// nothing refers to are collected, see garbage.go.
//
// # Definitions of stacks
//
// A stack is stored under its hash as it comes. Maintenance sorts many of them by their
// frames from the root and moves them into packs, in which they take a quarter of the
// bytes; under the hash stays where it is. Packs of which most stacks were collected are
// taken apart. See packing.go.
//
// # Full disks
//
// On a disk without a free byte a reserve is given up, so that the store opens, answers,
// and can take blocks off the list; see reserve.go.
//
// # Object storage
//
// With Config.Objects, blocks of level 1 and more are uploaded in the background: files
// first, then their entry in the list, then they leave the disk. So whatever the list calls
// remote is there whole, a crash leaves objects or files that are not listed, and nothing
// waits for the network but queries of what is remote. Pieces of files have checksums in the
// list, by which each range that is fetched is checked. A marker in the prefix names the
// store and the process that own it.
//
// # Backups
//
// A snapshot is a checkpoint of Pebble, links to the blocks and links to the log, made
// while the list of blocks stands still. It is a data directory like that after a crash.
package embedded
