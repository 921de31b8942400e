// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"runtime"
)

// version is set when a release is built, with -ldflags "-X main.version=v1.2.3".
var version = "dev"

func versionCommand() *command {
	return &command{
		name:    "version",
		summary: "Print the version.",
		setup: func(*flag.FlagSet) func(*call) error {
			return func(in *call) error {
				if len(in.args) > 0 {
					return misuse("unexpected argument %q", in.args[0])
				}
				_, err := fmt.Fprintf(in.stdout, "strobectl %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
		},
	}
}
