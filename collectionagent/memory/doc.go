// SPDX-License-Identifier: Apache-2.0

// Package memory bounds what the server holds in memory at once.
//
// A [Plan] divides the memory that the process may use among its parts. A
// [Budget] is the part that questions share: each takes a [Claim] on it, which
// travels in the context, says what it is about to allocate before it does, and
// gives everything back when its answer was sent. The numbers are estimates by
// and large; the plan leaves room for what nobody counts.
package memory
