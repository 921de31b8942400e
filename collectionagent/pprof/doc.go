// SPDX-License-Identifier: Apache-2.0

// Package pprof takes in profiles in the format of pprof, as programs make them of
// themselves: those that are pushed and those that are scraped. A profile becomes a
// request of OTLP and takes the way of all of them, [ingest.Server.Export]: this package
// only says what names mean. docs/push.md lists them.
package pprof
