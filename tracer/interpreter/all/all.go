// SPDX-License-Identifier: Apache-2.0

// Package all lists the runtimes that the agent knows.
package all

import (
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/interpreter/golang"
	"github.com/strobe-profiler/strobe/tracer/interpreter/lua"
	"github.com/strobe-profiler/strobe/tracer/interpreter/luajit"
	"github.com/strobe-profiler/strobe/tracer/interpreter/perl"
)

// Runtimes returns them, in the order in which executables are shown to them.
func Runtimes() []interpreter.Runtime {
	return []interpreter.Runtime{
		golang.Runtime{},
		lua.Runtime{},
		luajit.Runtime{},
		perl.Runtime{},
	}
}
