// SPDX-License-Identifier: Apache-2.0

// Package otlppprof turns profiles of pprof into profiles of OpenTelemetry
// (v1development) and back, by the semantic conventions for pprof.
//
//	pprof                           OpenTelemetry
//	each sample type                a Profile of one scope, the default type first
//	order of the types              pprof.scope.sample_type_order of the scope
//	default_sample_type             pprof.scope.default_sample_type of the scope
//	comment, doc_url                pprof.profile.comment (a list), .doc_url of each profile
//	drop_frames, keep_frames        pprof.profile.drop_frames, .keep_frames of each profile
//	time, duration, period          the fields of the same names of each profile
//	sample                          a Sample of each profile with one value
//	label                           an attribute of the sample, with its unit; see below
//	location, line, function        the same; the leaf comes first, inlined functions before their callers
//	is_folded                       pprof.location.is_folded of the location
//	mapping                         the same, has_functions etc. as pprof.mapping.has_functions etc.
//	build ID                        process.executable.build_id.gnu if it is hexadecimal, else .go
//
// A label with one value is an attribute with a text or a number. One with several
// is a list, texts before numbers; a number whose unit is not that of the attribute
// is a list of keys and values there: value and unit.
//
// # What stays
//
// [ToPprof] of what [FromPprof] made is the same profile, but for what the data
// model of OpenTelemetry does not know or forbids:
//
//   - samples with the same stack and labels are one, with the sums of their values;
//   - IDs are new; equal mappings, locations and functions are one, and those that
//     nothing refers to are gone;
//   - texts are valid UTF-8: U+FFFD stands for what was not;
//   - labels without a key, and keys without values, are gone;
//   - times, lines and columns below 0 are 0; a mapping that does not start before
//     its limit has neither; mappings and lines that say nothing are gone.
package otlppprof
