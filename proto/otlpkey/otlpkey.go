// SPDX-License-Identifier: Apache-2.0

// Package otlpkey has the keys of attributes of OTLP profiles that those who write them
// and those who read them have to agree on.
package otlpkey

// Keys of the semantic conventions, of attributes of the dictionary.
const (
	FrameType      = "profile.frame.type"
	BuildIDGNU     = "process.executable.build_id.gnu"
	BuildIDGo      = "process.executable.build_id.go"
	BuildIDHTLHash = "process.executable.build_id.htlhash"
)

// LabelPrefix is what profilers put before labels that a program gave its threads.
const LabelPrefix = "process.context.label."

// What our own agents say beyond the conventions.
const (
	// OwnPrefix begins all of it.
	OwnPrefix = "strobe."
	// ExactFrameType is the type of a frame where FrameType says less.
	ExactFrameType = OwnPrefix + "frame.type"
	// Runtime is the runtime that a file holds.
	Runtime = OwnPrefix + "executable.runtime"
	// ProcessName is the name of a process, ProcessStart when it started, in
	// nanoseconds since boot.
	ProcessName  = OwnPrefix + "process.name"
	ProcessStart = OwnPrefix + "process.start_time"
	// HostPrefix begins what is known of the host.
	HostPrefix = OwnPrefix + "host."
)
