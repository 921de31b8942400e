// SPDX-License-Identifier: Apache-2.0

// Package tlsfiles is TLS 1.3 with certificates, keys and authorities that are
// PEM files, for both ends of the wire. The files are looked at again when a
// connection is made, at most every few seconds, so that a renewed certificate
// or a new authority is in force without a restart; connections that are there
// already stay. Links that are swapped, as Kubernetes does, count as changes.
//
// What cannot be used - a file that is missing, half written, or a certificate
// without its key - leaves in force what was read before: one line in the log
// when that begins, one when it ends, and a counter in between.
//
// Nothing here turns verification off. A new authority of servers gets into a
// client through a configuration of its own for each handshake, see
// [Files.ClientCredentials].
package tlsfiles
