// SPDX-License-Identifier: Apache-2.0

// Package otlp reads profiles of OpenTelemetry (v1development): it turns a
// request into a batch of samples and the definitions that they refer to. It does
// no I/O and trusts nothing: every index into the dictionary is checked, and what
// is wrong is a [FieldError] that names the field.
//
// What has a build ID is stored as the agent of this project stores it: native
// frames as a file and an address, with names apart from them, so that the same
// stack is stored once whoever sent it. A mapping that says where it lies in
// memory makes its addresses offsets in the file.
package otlp
