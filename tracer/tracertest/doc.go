// SPDX-License-Identifier: Apache-2.0

// Package tracertest holds programs whose stacks are known, and a judge of what
// a profiler says of them.
//
// A subject burns CPU in named functions, in known shares; its units of work vary
// from round to round, so that rounds do not beat against the sampling period.
// testdata/expectations.json says what a profile of it must show, and [Judge]
// compares folded stacks with that. Everything is statistical: a judgement of
// few samples allows for their standard error.
package tracertest
