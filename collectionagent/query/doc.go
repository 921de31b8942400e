// SPDX-License-Identifier: Apache-2.0

// Package query turns stored samples into answers: flame graphs, tables of
// functions, timelines, heatmaps, tracks, comparisons, and exports. It works on any
// [store.Store] and reads sums by [store.Store.Select] and the definitions; what
// needs single samples, as heatmaps of values and exemplars do, reads those.
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
// # Conditions on stacks
//
// A store knows nothing of names, so a [StackFilter] works on resolved stacks: it
// makes another resolution of what is left, with the frames that are to be shown,
// and all answers are made from that as from any other. Answers that are not made of
// stacks find the stacks that are asked for first, and then add up those only.
//
// # The end of a question
//
// Every loop over rows, stacks or nodes looks at the context of its question now and
// then through a watch, sorting included; a question that is over leaves nothing
// running.
//
// # One set of names
//
// All answers use the naming rules of
// [github.com/strobe-profiler/strobe/libpf/export], and add up: the self values
// of a flame graph, a complete table, folded lines and a pprof profile of the
// same question have the same total.
package query
