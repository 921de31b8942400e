// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -X main.version=v1.2.3. Without it the version
// control system's data in the binary are used.
var version string

// build describes the binary.
type build struct{ version, revision, time string }

func buildInfo() build {
	b := build{version: version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	modified := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.revision = s.Value[:min(12, len(s.Value))]
		case "vcs.time":
			b.time = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				modified = "-dirty"
			}
		}
	}
	if b.revision != "" {
		b.revision += modified
	}
	b.version = cmp.Or(b.version, info.Main.Version, b.revision, "unknown")
	return b
}

func printVersion(w io.Writer) error {
	b := buildInfo()
	_, err := fmt.Fprintf(w, "agent %s (revision %s, built from sources of %s, %s %s/%s)\n", b.version,
		cmp.Or(b.revision, "unknown"), cmp.Or(b.time, "unknown"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
