// SPDX-License-Identifier: Apache-2.0

// Package invocation knows the name that a program was started by. Packages install the
// programs under longer names than the sources have, and people copy commands out of
// help texts and errors.
package invocation

import (
	"os"
	"path/filepath"
	"strings"
)

// Name returns the name that this process was started by, without directories, or own
// where there is none, and in tests, whose binaries have names of the Go command.
func Name(own string) string { return name(os.Args, own) }

func name(args []string, own string) string {
	if len(args) == 0 || args[0] == "" {
		return own
	}
	base := filepath.Base(args[0])
	if base == "/" || base == "." || strings.HasSuffix(base, ".test") {
		return own
	}
	return base
}
