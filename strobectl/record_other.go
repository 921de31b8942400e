// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import (
	"errors"
	"flag"

	"github.com/strobe-profiler/strobe/internal/buildinfo"
)

// recordObjects: there are none where nothing is recorded.
func recordObjects() []buildinfo.Object { return nil }

func recordCommand() *command {
	return &command{
		name:     "record",
		operands: "[-- COMMAND...]",
		summary:  "Profile this host, a process or a command, without a server (Linux only).",
		setup: func(*flag.FlagSet) func(*call) error {
			return func(*call) error { return errors.New("only Linux can be profiled") }
		},
	}
}
