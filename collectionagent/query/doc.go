// SPDX-License-Identifier: Apache-2.0

// Package query turns stored samples into answers: flame graphs, tables of
// functions, timelines, and exports. It works on any [store.Store] and reads
// only [store.Store.Select] and the definitions.
//
// # How a question is answered
//
// An [Engine] asks the store for one sum per group and stack, looks up the
// definitions of those stacks, names their frames, and folds the sums into the
// shape of the answer. Definitions and names come from caches that all queries
// share and that are bounded in bytes, so a repeated question costs the sum and
// the shape and nothing else. A name that may still improve, because it is a
// fallback or is missing, is asked for again after a short time.
//
// # One set of names
//
// All answers use the naming rules of
// [github.com/strobe-profiler/strobe/libpf/export], and add up: the self values
// of a flame graph, a complete table, folded lines and a pprof profile of the
// same question have the same total.
package query
