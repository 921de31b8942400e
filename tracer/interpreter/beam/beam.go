// SPDX-License-Identifier: Apache-2.0

// Package beam unwinds Erlang and Elixir: the BEAM with its compiler (BeamAsm),
// OTP 25 and later.
//
// The emulator exports its symbols up to OTP 28, so that what is needed is found
// by name, even in stripped builds. What is static inside of it, and where members
// of its structures lie, is found by what the memory of a running emulator must
// look like; see layout.go. How the stacks are walked tells support/ebpf/beam.bpf.c.
package beam

import (
	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

const name = "beam"

// Kinds of frames, and the tag of a range; see support/ebpf/beam.bpf.c.
const (
	frameFunction = iota
	frameSharedCode
	frameProcessMain

	tagDirtyMain = 1
)

// Runtime implements [interpreter.Runtime].
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_BEAM }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return name }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.BEAMFrame }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }
