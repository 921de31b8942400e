// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set when a release is built, with -ldflags "-X main.version=v1.2.3".
var version = "dev"

// revision returns the commit that the program was built from, and when that
// was made, "unknown" where the build does not say.
func revision() (commit, date string) {
	commit, date = "unknown", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return commit, date
	}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.time":
			date = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified {
		commit += "-modified"
	}
	return commit, date
}

// versionText is what -version prints.
func versionText() string {
	commit, date := revision()
	return fmt.Sprintf("collectionagent %s (commit %s, %s, %s, %s/%s)", version, commit, date, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
