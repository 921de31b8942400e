// SPDX-License-Identifier: Apache-2.0

// Package scrape fetches profiles from programs that serve them over HTTP, as Go's
// net/http/pprof does under /debug/pprof, and hands them to the ingest of the
// server. A file says which: its form is that of Prometheus and Parca, docs/scrape.md
// describes it.
//
// A target is an address with labels; each profile of a target is an endpoint, which
// is fetched once per interval by a goroutine of its own, at a time that follows from
// a hash of the endpoint, so that the load is spread and the same after a restart. An
// endpoint never has two requests open: what is not finished in time skips its next
// turn, which is counted.
//
// Values that count since the start of the target, such as what it allocated, are
// stored as the difference to the scrape before. Of that only a hash of each stack and
// the values are kept. When a value is lower than before, or a stack is gone, the
// target has started again, and so does the counting.
//
// What targets answer is not trusted: neither its size, nor what it redirects to, nor
// its content. What is reached at all is up to whoever writes the file.
package scrape
