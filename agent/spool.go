// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
)

// makeSpoolDir makes the directory of the spool while the agent has all that it was
// started with: what others may enter above it, as other services have theirs beside
// it, and itself for its own user. The spool finds out what goes wrong here as well,
// tells, and tries again.
func makeSpoolDir(dir string) {
	if dir == "" {
		return
	}
	if os.MkdirAll(filepath.Dir(dir), 0o755) == nil { //nolint:gosec // see above
		_ = os.Mkdir(dir, 0o700) //nolint:gosec // named by the operator
	}
}
