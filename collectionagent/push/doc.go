// SPDX-License-Identifier: Apache-2.0

// Package push takes profiles that programs send in the ways of the field: to /ingest and to
// push.v1.PusherService/Push as clients of Pyroscope do, with WriteRaw as those of Parca do, and as a
// plain upload of a file. What they mean is up to package [pprof]; docs/push.md describes it for those who send.
//
// Nothing that is sent is trusted: a body is bounded before and after it is unpacked, and what
// is made of it takes its memory from that of the ingest, as requests of agents do.
package push
