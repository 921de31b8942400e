// SPDX-License-Identifier: Apache-2.0

// Package otlpcheck checks messages of OpenTelemetry profiles (v1development)
// against the data model: the comments of profiles.proto and common.proto, the
// specification of mappings, and the semantic conventions. [Rules] lists what is
// checked. What the texts demand (MUST) is an error, what they ask for (SHOULD) a
// warning.
//
// A message may be anything, from bytes of foreign origin to structures with nil in
// them: a check neither panics nor takes more than memory and time in proportion to
// the message. Receivers need other checks, as they must not refuse what they
// understand; this package is for those who make messages.
package otlpcheck
