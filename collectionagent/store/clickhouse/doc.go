// SPDX-License-Identifier: Apache-2.0

// Package clickhouse is the store of a fleet that one machine cannot hold: tables
// on ClickHouse servers, reached over the native protocol. Any number of collection
// agents, which keep nothing themselves, may share a database.
//
// # Tables
//
//	samples                 one row per sample: series, stack, time, count, value, insert
//	samples_1m, samples_1h  sums by (service, host, host_id, stack), filled by materialized views
//	batches                 which batches and inserts there are, and what became of them
//	ledgers                 what of each run was stored, by day
//	touches, seals          which hours' roll-ups may be used
//	stacks, symbols, executables, hosts, metrics
//	                        definitions; the highest version of a key counts
//	state, settings         a few values that the collection agents share
//	migrations, epoch       versions of the schema that were applied; the epoch
//
// The collection agent makes and updates them. Every statement of a migration can
// be repeated, so it does not matter how many apply it at once or where one stops.
// The epoch is the default of a column of its table: making a table is the one thing
// that a server lets only the first of several clients do.
//
// # Exactly once
//
// A batch may come several times, to several collection agents, at the same time,
// and each of them, and every server, may die at any moment. Deduplication of blocks
// by the server is not enough: its memory is bounded, it knows nothing of batches
// that came in different company, it is no promise for views, and it would drop
// equal sums that two batches have honestly. It is switched off. Instead:
//
// Batches that wait share an insert, which has a name of its own (ins). All rows of
// the insert carry it. The collection agent
//
//  1. writes to batches that the insert has begun, with the identities of its batches,
//  2. reads from batches what other inserts there are of them; a batch that is
//     committed elsewhere is a duplicate and one that is begun elsewhere is contended:
//     both are left out,
//  3. inserts the samples,
//  4. writes to batches that the insert and the batches in it are committed: one
//     block of one table and one partition, which the server stores whole or not at
//     all. Only then is anything acknowledged.
//
// A contended batch waits some seconds. Usually the other insert is committed by
// then, and it is a duplicate. Else it goes through the four steps in an insert that
// has nothing else in it, marked as alone, and steps over the other one.
//
// A reader first reads the inserts that do not count and then leaves their rows out:
// those that are begun and not committed; those that were dropped; and those
// committed alone whose batch another insert has committed too and wins: the one
// with other batches, else the one with the lowest name.
//
// Why a batch that was acknowledged counts once:
//
//   - At least once. It is acknowledged after an insert that has it was committed.
//     That insert counts unless it loses, and then the winner counts.
//   - At most once. Let two inserts with the batch be committed. Both wrote step 1
//     before they read step 2, and reads see all writes that were acknowledged
//     (with replicas: quorum and sequential consistency), so at least one saw the
//     other; that one left the batch out, or is alone. So at most one insert with
//     other batches has it, all others are alone, and of these all but one lose.
//   - Whole. Rows of an insert count from one statement on, that of step 4. A reader
//     that read the list before an insert had begun could see its first rows; a
//     block of one day is one part and appears at once, and a lone insert begins
//     seconds after it saw the one that it competes with.
//
// An insert that is not committed for an hour is dropped: the collection agent that
// finds it writes that it is doomed, then reads whether it is committed, and only if
// not writes that it is dropped, and deletes its rows. A collection agent that commits
// more than five minutes after the beginning reads afterwards whether its insert is
// doomed, and if so does not acknowledge. Each writes before it reads, so not both
// can miss the other. Clocks of collection agents must be within an hour.
//
// An insert that fails is never sent again under its name: the rows of the first try
// may still appear. Its name is dropped, and the agents send the batches again.
//
// # Roll-ups
//
// The views sum whatever is inserted, also rows that do not count, and a server that
// dies may have stored rows without their sums. So nothing is believed that was not
// compared: two hours after an hour is over, the upkeep computes a fingerprint of its
// samples (the sum over the rows of a hash of the key times the count, and times the
// value) and of its roll-ups; the fingerprint of sums is the sum of fingerprints, so
// they agree if and only if the roll-ups are right, but for a chance of one in 2^64.
// Where they differ the roll-ups of the hour are made again. Then the hour is sealed,
// and queries take the roll-ups of sealed hours, for whole buckets in the range, and
// samples for the rest. An insert of late samples, and a deletion, touch the hours
// that they change before they change them; a seal says how many touches it has
// seen and holds only as long as there are no more.
//
// Once samples have expired their roll-ups can no longer be compared. They are used
// as they are.
//
// # Durability
//
// A single server acknowledges what is in its page cache: it survives the death of
// the process, not always that of the machine. With a cluster, what is acknowledged
// is on as many replicas as Config.Quorum says.
package clickhouse
