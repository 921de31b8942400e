// SPDX-License-Identifier: Apache-2.0

// Package export turns stacks into the formats that other tools read, and holds
// the rules by which a frame gets the name that a person sees. The agent's
// one-shot mode and the collection agent's API share it, so that the same stack
// reads the same everywhere.
//
// # Names
//
// [AppendLevels] expands a frame into its levels, one for the function and one
// for each function inlined into it. A frame that has no name shows as
// binary+0xaddress; an error or abort marker shows as its reason in brackets.
// No frame is left out.
package export
