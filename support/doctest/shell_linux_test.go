// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// recorder is a test that may fail without failing the one that looks at it.
type recorder struct {
	testing.TB
	dir      string
	failed   bool
	log      strings.Builder
	cleanups []func()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Failed() bool             { return r.failed }
func (r *recorder) Skipped() bool            { return false }
func (r *recorder) TempDir() string          { return r.dir }
func (r *recorder) Context() context.Context { return context.Background() }
func (r *recorder) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Errorf(f string, a ...any) {
	r.failed = true
	fmt.Fprintf(&r.log, f+"\n", a...)
}
func (r *recorder) Fatalf(f string, a ...any) { r.Errorf(f, a...); runtime.Goexit() }

// outcome runs f with blocks of this Markdown text and returns what the test would say.
func outcome(t *testing.T, markdown string, opts Options, f func(*Shell, *Section)) string {
	t.Helper()
	blocks, err := Parse("f.md", []byte(markdown))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{TB: t, dir: t.TempDir()}
	s := &Section{t: r}
	for _, b := range blocks {
		if b.Lang == "sh" {
			s.blocks = append(s.blocks, b)
		}
	}
	s.init()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, v := range slices.Backward(r.cleanups) {
				v()
			}
		}()
		r.Cleanup(s.check)
		f(s.Shell(r, opts), s)
	}()
	<-done
	return r.log.String()
}

func TestShell(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "hello"), []byte("#!/bin/sh\necho hello $1 $WORLD\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	all := func(sh *Shell, _ *Section) { sh.RunAll() }
	tests := map[string]struct {
		markdown string
		opts     Options
		run      func(*Shell, *Section)
		want     string // "" for success, else part of what the test says
	}{
		"state goes on":   {"```sh\nA=1\nmkdir d; cd d\n```\n\n```sh\necho $A ${PWD##*/}\n```\n\n```text\n1 d\n```\n", Options{}, all, ""},
		"path and env":    {"```sh\nhello big\n```\n```text\nhello big world\n```\n", Options{Path: []string{bin}, Env: []string{"WORLD=world"}}, all, ""},
		"replaced":        {"```sh\necho host:7070 host\n```\n```text\nb a\n```\n", Options{Replace: map[string]string{"host": "a", "host:7070": "b"}}, all, ""},
		"not there":       {"```sh\necho\n```\n", Options{Replace: map[string]string{"host": "a"}}, all, `"host" is in no block`},
		"other output":    {"a\n\n```sh\necho 1\n```\n\n```text\n2\n```\n", Options{}, all, "f.md:4: the document says that it prints\n2"},
		"failing command": {"a\n\n```sh\ntrue\n\nfalse\ntrue\n```\n", Options{}, all, "f.md:6: a command failed with status 1"},
		"failing pipe":    {"```sh\n(exit 3) | cat\n```\n", Options{}, all, "f.md:2: a command failed with status 3"},
		"no such command": {"\n\n```sh\nno-such-command\n```\n", Options{}, all, "line 4: no-such-command: command not found"},
		"exit":            {"```sh\nexit 3\n```\n", Options{}, all, "a command failed"},
		"syntax":          {"```sh\nif (\n```\n", Options{}, all, "a command failed"},
		"no input":        {"```sh\ncat\n```\n", Options{}, all, ""},
		"left out":        {"```sh\ntrue\n```\n```sh\ntrue\n```\n", Options{}, func(sh *Shell, s *Section) { sh.Run(s.Block(0)) }, "f.md:5: the test opens this section and does not run this block"},
		"no such block":   {"```sh\ntrue\n```\n", Options{}, func(_ *Shell, s *Section) { s.Block(1) }, "has 1 blocks"},
		"too slow":        {"```sh\nsleep 600\n```\n", Options{Timeout: 100 * time.Millisecond}, all, "f.md:2: still running after 100ms"},
		"after all":       {"```sh\ntrue\n```\n", Options{Deadline: time.Now().Add(-time.Hour)}, all, "f.md:2: still running after 0s"},
		"background":      {"```sh\nsleep 600 &\n```\n```sh\necho on\n```\n```text\non\n```\n", Options{}, all, ""},
		"does not end":    {"```sh\nsh -c 'trap \"\" TERM; echo up; while :; do sleep 600; done' &\nuntil grep -q up $OUT/*.out; do :; done\n```\n", Options{Grace: 100 * time.Millisecond}, all, "did not end 100ms after SIGTERM"},
		"until": {"```sh\necho x >> file\nwc -l < file\ntest $(wc -l < file) -ge 2\n```\n", Options{}, func(sh *Shell, s *Section) {
			sh.RunUntil(s.Block(0), func(out string) bool { return strings.TrimSpace(out) == "3" })
		}, ""},
		"never": {"```sh\nfalse\n```\n", Options{Timeout: 3 * time.Second}, func(sh *Shell, s *Section) { sh.RunUntil(s.Block(0), nil) },
			"f.md:2: after 3s still: a command failed with status 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := func(sh *Shell, s *Section) {
				_, _ = fmt.Fprintf(sh.in, "OUT=%s\n", sh.scratch)
				test.run(sh, s)
			}
			got := outcome(t, test.markdown, test.opts, run)
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestShellEndsBackground looks that what was started is gone.
func TestShellEndsBackground(t *testing.T) {
	t.Parallel()
	var group int
	got := outcome(t, "```sh\nsh -c 'sleep 601 & wait' &\n```\n", Options{}, func(sh *Shell, _ *Section) {
		sh.RunAll()
		group = sh.cmd.Process.Pid
		if !running(group) {
			t.Error("the shell does not run")
		}
	})
	if got != "" || running(group) {
		t.Errorf("still running: %v; %s", running(group), got)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go srv.Serve(l)   //nolint:errcheck // ends with the test
	defer srv.Close() //nolint:errcheck // nothing is on its way
	WaitListen(t, l.Addr().String())
	WaitHTTP(t, "http://"+l.Addr().String())
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
}
