// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/strobe-profiler/strobe/agent/internal/config"
)

// makeSpoolDir makes the directory of the spool while the agent has all that it was
// started with: what others may enter above it, and itself for its own user. What
// goes wrong the spool finds out as well, tells, and tries again. Only what is hard to
// see later is told here: without its privileges root cannot write everywhere.
func makeSpoolDir(cfg *config.Config, log *slog.Logger) {
	dir := cfg.Spool()
	if dir == "" {
		return
	}
	// Other services have theirs beside it.
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // see above
		return
	}
	_ = os.Mkdir(dir, 0o700)
	info, err := os.Stat(dir)
	if err != nil {
		return
	}
	if owner := ownerOf(info); owner != os.Geteuid() && !cfg.KeepCapabilities {
		log.Warn("the spool belongs to another user, so the agent cannot write it once it has given up its privileges",
			"flag", "-spool-dir", "dir", dir, "owner", owner, "fix", "chown it to the user of the agent")
	}
}

func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return os.Geteuid()
}
