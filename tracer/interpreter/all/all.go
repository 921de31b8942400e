// SPDX-License-Identifier: Apache-2.0

// Package all lists the runtimes that the agent knows.
package all

import (
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/interpreter/beam"
	"github.com/strobe-profiler/strobe/tracer/interpreter/dotnet"
	"github.com/strobe-profiler/strobe/tracer/interpreter/golang"
	"github.com/strobe-profiler/strobe/tracer/interpreter/hotspot"
	"github.com/strobe-profiler/strobe/tracer/interpreter/lua"
	"github.com/strobe-profiler/strobe/tracer/interpreter/luajit"
	"github.com/strobe-profiler/strobe/tracer/interpreter/perl"
	"github.com/strobe-profiler/strobe/tracer/interpreter/php"
	"github.com/strobe-profiler/strobe/tracer/interpreter/python"
	"github.com/strobe-profiler/strobe/tracer/interpreter/ruby"
	v8 "github.com/strobe-profiler/strobe/tracer/interpreter/v8"
)

// Runtimes returns them, in the order in which executables are shown to them.
func Runtimes() []interpreter.Runtime {
	return []interpreter.Runtime{
		python.Runtime{},
		hotspot.Runtime{},
		v8.Runtime{},
		ruby.Runtime{},
		php.Runtime{},
		perl.Runtime{},
		luajit.Runtime{},
		lua.Runtime{},
		beam.Runtime{},
		dotnet.Runtime{},
		golang.Runtime{},
	}
}
