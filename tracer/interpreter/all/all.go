// SPDX-License-Identifier: Apache-2.0

// Package all lists the runtimes that the agent knows.
package all

import (
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/interpreter/dotnet"
	"github.com/strobe-profiler/strobe/tracer/interpreter/golang"
	"github.com/strobe-profiler/strobe/tracer/interpreter/v8"
)

// Runtimes returns them, in the order in which executables are shown to them.
func Runtimes() []interpreter.Runtime {
	return []interpreter.Runtime{
		dotnet.Runtime{},
		golang.Runtime{},
		v8.Runtime{},
	}
}
