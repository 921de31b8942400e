// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"

	"github.com/strobe-profiler/strobe/internal/buildinfo"
)

func versionCommand() *command {
	return &command{
		name:    "version",
		summary: "Print the version.",
		setup: func(fs *flag.FlagSet) func(*call) error {
			format := fs.String("o", buildinfo.Text, "`format`: text or json")
			return func(in *call) error {
				if len(in.args) > 0 {
					return misuse("unexpected argument %q", in.args[0])
				}
				if err := buildinfo.CheckFormat(*format); err != nil {
					return misuse("%v", err)
				}
				return buildinfo.Read("strobectl", recordObjects()...).Write(in.stdout, *format)
			}
		},
	}
}
