// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// world is a file of tokens and a guard that reads it.
type world struct {
	t     *testing.T
	path  string
	clock *clock
	guard *Guard
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "auth.json"), clock: newClock()}
	w.edit(func(f *File) error { return f.CreateProject("blue", w.clock.now()) })
	c := Config{Path: w.path, Now: w.clock.now, Mode: ModeRequired}
	if change != nil {
		change(&c)
	}
	var err error
	if w.guard, err = New(c); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) edit(change func(*File) error) {
	w.t.Helper()
	if err := Edit(w.path, change); err != nil {
		w.t.Fatal(err)
	}
}

// token creates a token and lets the guard see it.
func (w *world) token(project string, roles Roles, expires time.Time) (text, id string) {
	w.t.Helper()
	w.edit(func(f *File) (err error) {
		text, id, err = f.CreateToken(NewToken{Project: project, Roles: roles, Expires: expires}, w.clock.now())
		return err
	})
	w.clock.advance(recheckAfter)
	return text, id
}

// try returns why a token is denied, "" if it is not.
func (w *world) try(text string, access Access) reason {
	w.t.Helper()
	_, err := w.guard.authorize(access, &credentials{protocol: "http", bearer: text})
	if err == nil {
		return ""
	}
	return err.(*denial).reason //nolint:errorlint,forcetypeassert // it returns nothing else
}
