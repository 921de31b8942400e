// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// guard knows whether the store can take writes, and why not.
type guard struct {
	logger *slog.Logger
	mu     sync.Mutex
	// causes are what stands against writing, by kind.
	causes map[string]string
	// text is all causes, nil when there is none.
	text atomic.Pointer[string]
}

// Kinds of causes.
const (
	causeSpace  = "space"
	causeLog    = "log"
	causeFlush  = "flush"
	causeReplay = "replay"
	causeMeta   = "meta"
)

// set says that writes cannot be taken; an empty reason takes it back.
func (g *guard) set(kind, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.causes[kind]
	if before == reason {
		return
	}
	if g.causes == nil {
		g.causes = make(map[string]string)
	}
	if reason == "" {
		delete(g.causes, kind)
	} else {
		g.causes[kind] = reason
	}
	if before == "" {
		g.logger.Error("store is read-only", "reason", reason)
	}
	var text string
	for _, k := range []string{causeReplay, causeSpace, causeLog, causeMeta, causeFlush} {
		if r := g.causes[k]; r != "" && text == "" {
			text = r
		}
	}
	if text == "" {
		g.text.Store(nil)
		g.logger.Info("store takes writes again")
		return
	}
	g.text.Store(&text)
}

// cause returns what stands against writing of a kind, "" when nothing does.
func (g *guard) cause(kind string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.causes[kind]
}

// has reports whether a kind of cause stands against writing.
func (g *guard) has(kind string) bool { return g.cause(kind) != "" }

// reason returns why writes are refused, "" when they are not.
func (g *guard) reason() string {
	if t := g.text.Load(); t != nil {
		return *t
	}
	return ""
}

// check returns an error while writes are refused.
func (g *guard) check() error {
	if r := g.reason(); r != "" {
		return readOnly(r)
	}
	return nil
}

// readOnly returns the error of a write that is refused for a reason. A write
// that failed for it gets this and not check, which says nothing any more when
// the cause went away meanwhile: the write failed all the same.
func readOnly(reason string) error { return fmt.Errorf("%w: %s", store.ErrReadOnly, reason) }

// checkSpace compares the free space of the disk with the minimum. Writes are
// taken again when there is a quarter more than that, so as not to flap.
func (s *Store) checkSpace() {
	free, err := s.cfg.freeBytes(s.cfg.Dir)
	if err != nil {
		s.logger.Warn("free disk space is unknown", "err", err)
		return
	}
	s.checkReserve(free)
	limit := uint64(max(s.cfg.MinFreeBytes, 0)) //nolint:gosec // not negative
	low := s.guard.has(causeSpace)
	switch {
	case free < limit:
		if !low {
			s.guard.set(causeSpace, fmt.Sprintf("%d MiB free on the disk, %d MiB are needed", free>>20, limit>>20))
		}
	case !low || free >= limit+limit/4:
		s.guard.set(causeSpace, "")
	}
}

// freeBytes returns how much an unprivileged process may still write to the
// file system that holds dir.
func freeBytes(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec // a block size is positive
}
