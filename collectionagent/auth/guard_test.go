// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// sends is what agents need.
var sends = Access{Role: RoleIngest}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	f := func(text string, want reason) {
		t.Helper()
		if got := w.try(text, sends); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	first, id := w.token("blue", RoleIngest, w.clock.now().Add(48*time.Hour))
	other, _ := w.token("blue", RoleIngest, time.Time{})
	f(first, "")
	f("", reasonMissing)
	f("x", reasonMalformed)
	f(first[:len(first)-4]+"AAAA", reasonUnknown)
	f(tokenText("abcdefghij12", first[len(first)-secretLength:]), reasonUnknown)
	f(tokenText(id, other[len(other)-secretLength:]), reasonUnknown)

	var second string
	w.edit(func(f *File) (err error) { second, err = f.RotateToken(id, time.Hour, w.clock.now()); return err })
	f(first, "")
	f(second, reasonUnknown) // not looked at yet
	w.clock.advance(recheckAfter)
	f(first, "")
	f(second, "")
	w.clock.advance(time.Hour)
	f(first, reasonUnknown)
	f(second, "")
	var third string
	w.edit(func(f *File) (err error) { third, err = f.RotateToken(id, 0, w.clock.now()); return err })
	w.clock.advance(recheckAfter)
	f(second, reasonUnknown)
	f(third, "")
	w.clock.advance(48 * time.Hour)
	f(third, reasonExpired)
	f(other, "")
	err := Edit(w.path, func(f *File) (err error) { _, err = f.RotateToken(id, 0, w.clock.now()); return err })
	if !errors.Is(err, ErrExpired) {
		t.Errorf("rotate a token that has expired: %v", err)
	}

	w.edit(func(f *File) error { return f.RevokeToken(id) })
	w.clock.advance(recheckAfter)
	f(third, reasonUnknown)
	f(other, "")
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(recheckAfter)
	f(other, reasonUnknown)
}

// TestBrokenFile keeps the last good state, says so once, and recovers.
func TestBrokenFile(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := newWorld(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	text, _ := w.token("blue", RoleIngest, time.Time{})
	if got := w.try(text, sends); got != "" {
		t.Fatal(got)
	}
	good, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	for i, broken := range []func() error{
		func() error { return os.WriteFile(w.path, good[:len(good)/2], 0o600) },
		func() error { return os.Chmod(w.path, 0o644) },
	} {
		if err := broken(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			w.clock.advance(recheckAfter)
			if got := w.try(text, sends); got != "" {
				t.Errorf("a broken file denies a token: %s", got)
			}
		}
		if got := value(t, w.guard.metrics.fileErrors); got != float64(i+1) {
			t.Errorf("%v errors counted, want %d", got, i+1)
		}
		if got := strings.Count(log.String(), "cannot be used"); got != i+1 {
			t.Errorf("logged %d times, want %d: %s", got, i+1, &log)
		}
	}
	if err := os.WriteFile(w.path, []byte(`{"version":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.path, 0o600); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(recheckAfter)
	if got := w.try(text, sends); got != reasonUnknown {
		t.Errorf("after a file without tokens: %q", got)
	}
	if strings.Contains(log.String(), text[len(text)-secretLength:]) {
		t.Error("the log has a token")
	}
	if _, err := New(Config{Path: w.path, Mode: "none"}); err == nil {
		t.Error("an unknown mode is taken")
	}
	if err := os.Chmod(w.path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Path: w.path}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("start with a file that others can read: %v", err)
	}
}

func TestModesOfGuard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Mode = ModeAuto })
	if w.guard.Required() || w.guard.Locked() || w.try("", sends) != "" {
		t.Error("a token is needed on loopback without any")
	}
	if got := w.try("", Access{}); got != reasonUnlisted {
		t.Errorf("what is not in the policy: %q", got)
	}
	text, id := w.token("blue", RoleIngest, time.Time{})
	if !w.guard.Required() || w.try("", sends) != reasonMissing || w.try(text, sends) != "" {
		t.Error("the first token does not close the server")
	}
	w.edit(func(f *File) error { return f.RevokeToken(id) })
	w.clock.advance(recheckAfter)
	if !w.guard.Required() || !w.guard.Locked() || w.try("", sends) != reasonMissing {
		t.Error("revoking the last token opens the server")
	}
	reachable := newWorld(t, func(c *Config) { c.Mode, c.Reachable = ModeAuto, true })
	if !reachable.guard.Locked() {
		t.Error("a server that others reach is open")
	}
	off := newWorld(t, func(c *Config) { c.Mode, c.Reachable = ModeOff, true })
	off.token("blue", RoleIngest, time.Time{})
	if off.guard.Required() {
		t.Error("off is not off")
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	query, _ := w.token("blue", RoleQuery, time.Time{})
	admin, _ := w.token("blue", RoleAdmin, time.Time{})
	all, _ := w.token(AllProjects, RoleAdmin, time.Time{})
	f := func(text string, a Access, want reason) {
		t.Helper()
		if got := w.try(text, a); got != want {
			t.Errorf("%+v: %q, want %q", a, got, want)
		}
	}
	f(query, Access{Role: RoleQuery}, "")
	f(query, sends, reasonRole)
	f(query, Access{Role: RoleAdmin}, reasonRole)
	f(query, Access{Any: true}, "")
	f(query, Access{}, reasonUnlisted)
	f("", Access{Open: "test"}, "")
	f(admin, sends, "")
	f(admin, Access{Role: RoleAdmin, ServerWide: true}, reasonProject)
	f(all, Access{Role: RoleAdmin, ServerWide: true}, "")
	f(all, sends, reasonProject)
	f(all, Access{}, reasonUnlisted)
	c := &credentials{bearer: all, project: "blue"}
	if p, err := w.guard.authorize(Access{Role: RoleQuery}, c); err != nil || p.Project != "blue" || !p.ServerWide() {
		t.Errorf("choosing a project: %+v, %v", p, err)
	}
	c = &credentials{bearer: all, project: "../x"}
	if p, err := w.guard.authorize(Access{Role: RoleQuery}, c); err == nil {
		t.Errorf("choosing no project: %+v", p)
	}
	c = &credentials{bearer: query, project: DefaultProject}
	if p, err := w.guard.authorize(Access{Role: RoleQuery}, c); err == nil {
		t.Errorf("choosing another project: %+v", p)
	}
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	a, c := newAttempts(), newClock()
	bad := netip.MustParseAddr("192.0.2.1")
	for i := range attemptBurst {
		if ok, _ := a.allow(bad, c.now()); !ok {
			t.Fatalf("attempt %d is limited", i)
		}
	}
	ok, wait := a.allow(bad, c.now())
	if ok || wait <= 0 || wait > attemptEvery {
		t.Errorf("after the burst: %v, wait %s", ok, wait)
	}
	if ok, _ := a.allow(netip.MustParseAddr("::ffff:192.0.2.1"), c.now()); ok {
		t.Error("another way to write the address is another client")
	}
	if ok, _ := a.allow(netip.MustParseAddr("192.0.2.2"), c.now()); !ok {
		t.Error("another client is limited")
	}
	c.advance(wait)
	if ok, _ := a.allow(bad, c.now()); !ok {
		t.Error("limited after the wait")
	}
	for range attemptBurst {
		a.allow(netip.MustParseAddr("2001:db8::1"), c.now())
	}
	if ok, _ := a.allow(netip.MustParseAddr("2001:db8::ffff:2"), c.now()); ok {
		t.Error("another address of the same network is another client")
	}
	for i := range 2 * maxAddresses {
		a.allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), c.now()) //nolint:gosec // an address
	}
	if len(a.clients) > maxAddresses {
		t.Errorf("%d addresses are remembered", len(a.clients))
	}
	if ok, _ := a.allow(netip.MustParseAddr("192.0.2.77"), c.now()); ok {
		t.Error("the rest is not limited while the table is full")
	}
	c.advance(attemptBurst * attemptEvery)
	if ok, _ := a.allow(netip.MustParseAddr("192.0.2.77"), c.now()); !ok || len(a.clients) != 1 {
		t.Errorf("%d addresses are remembered after a while", len(a.clients))
	}
}

// value returns the value of a counter.
func value(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
