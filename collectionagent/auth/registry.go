// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// recheckAfter is how soon the file is looked at again. It bounds how long a
// revoked token is good.
const recheckAfter = time.Second

// registry is what the file says now. It is safe for concurrent use.
type registry struct {
	path    string
	now     func() time.Time
	logger  *slog.Logger
	metrics *metrics

	checked atomic.Int64 // when the file was last looked at, ns
	current atomic.Pointer[snapshot]

	mu      sync.Mutex // held while the file is looked at
	failed  stamp      // of the state of the file that could not be used
	problem string     // that was logged
}

// snapshot is one state of the file. It is immutable but for the times of use.
type snapshot struct {
	stamp    stamp
	tokens   map[string]*entry
	projects []string
}

// entry is a token with what is known of its use.
type entry struct {
	Token
	roles Roles
	used  *atomic.Int64 // ns since the epoch, 0 never; outlives the snapshot
}

// newRegistry reads the file, which need not exist.
func newRegistry(path string, now func() time.Time, logger *slog.Logger, m *metrics) (*registry, error) {
	r := &registry{path: path, now: now, logger: logger, metrics: m}
	r.current.Store(&snapshot{projects: []string{DefaultProject}})
	r.checked.Store(now().UnixNano())
	f, st, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if err := r.use(f, st); err != nil {
		return nil, err
	}
	return r, nil
}

// use makes a state of the file the current one.
func (r *registry) use(f *File, st stamp) error {
	before := r.current.Load()
	s := &snapshot{stamp: st, tokens: make(map[string]*entry, len(f.Tokens)), projects: []string{DefaultProject}}
	for _, t := range f.Tokens {
		roles, err := rolesOf(t.Roles)
		if err != nil {
			return fmt.Errorf("read projects and tokens: token %s: %w", t.ID, err)
		}
		e := &entry{Token: t, roles: roles}
		if old := before.tokens[t.ID]; old != nil {
			e.used = old.used
		} else {
			e.used = new(atomic.Int64)
		}
		s.tokens[t.ID] = e
	}
	for _, p := range f.Projects {
		if p.Name != DefaultProject {
			s.projects = append(s.projects, p.Name)
		}
	}
	slices.Sort(s.projects)
	r.current.Store(s)
	return nil
}

// state returns what the file says, after looking at it if that is due.
func (r *registry) state() *snapshot {
	now := r.now().UnixNano()
	// A clock that was set back must not stop the looking.
	if d := now - r.checked.Load(); d >= 0 && d < int64(recheckAfter) || !r.mu.TryLock() {
		return r.current.Load()
	}
	defer r.mu.Unlock()
	r.checked.Store(now)
	r.reread()
	return r.current.Load()
}

// reread reads the file if it changed. What cannot be used leaves the last good
// state in force; a file that is gone leaves no token. The lock is held.
func (r *registry) reread() {
	info, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		if r.current.Load().stamp != (stamp{}) {
			r.logger.Warn("the file of tokens is gone, nobody has access", "file", r.path)
			_ = r.use(&File{}, stamp{}) // has no tokens that could be wrong
		}
		return
	}
	var st stamp
	if err == nil {
		st = stampOf(info)
		if st == r.current.Load().stamp || st == r.failed {
			return
		}
		var f *File
		if f, st, err = read(r.path); err == nil {
			err = r.use(f, st)
		}
	}
	if err != nil {
		r.metrics.fileErrors.Inc()
		r.failed = st
		if text := err.Error(); text != r.problem {
			r.problem = text
			r.logger.Error("the file of tokens cannot be used, the state of before stays in force", "err", err)
		}
		return
	}
	r.failed, r.problem = stamp{}, ""
	r.metrics.fileReads.Inc()
	r.logger.Info("read projects and tokens", "file", r.path, "tokens", len(r.current.Load().tokens))
}

// verify returns the token with an ID and a secret. Otherwise it says why not;
// it does the same work whether or not there is such an ID.
func (r *registry) verify(id string, secret Digest) (*entry, reason) {
	s, now := r.state(), r.now()
	e, known := s.tokens[id]
	if !known {
		e = &nobody
	}
	isCurrent := subtle.ConstantTimeCompare(secret[:], e.Secret[:])
	isPrevious := subtle.ConstantTimeCompare(secret[:], e.Previous[:])
	switch {
	case !known:
		return nil, reasonUnknown
	case isCurrent != 1 && (isPrevious != 1 || !now.Before(e.PreviousUntil)):
		return nil, reasonUnknown
	case e.expired(now):
		return nil, reasonExpired
	}
	e.used.Store(now.UnixNano())
	return e, ""
}

// nobody is compared with in place of a token that does not exist.
var nobody entry
