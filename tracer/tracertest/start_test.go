// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestAwait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ said, want string }{
		"at once":       {"runs\n", ""},
		"after others":  {"hello\nrun\n runs\nruns\n", ""},
		"Windows":       {"runs\r\n", ""},
		"nothing":       {"", `it does not say "runs": it ended; it said ""`},
		"an error":      {"cannot find it\n", `it does not say "runs": it ended; it said "cannot find it\n"`},
		"half a line":   {"runs", `it does not say "runs": it ended; it said "runs"`},
		"part of words": {"it runs\nruns not\n", `it does not say "runs": it ended; it said "it runs\nruns not\n"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := await(bufio.NewReader(strings.NewReader(c.said)), "runs"); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// failing is a test that is expected to fail: it keeps why.
type failing struct {
	testing.TB
	why string
}

// Fatalf implements testing.TB.
func (f *failing) Fatalf(format string, args ...any) {
	f.why = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// TestNeverRuns starts a program of a runtime that ends before it does what is known of it.
func TestNeverRuns(t *testing.T) {
	t.Parallel()
	r := &Ready{name: "it", path: "/bin/sh", says: true, args: []string{"sh", "-c", "echo starts; echo 'no such module' >&2"}}
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Start(f)
	}()
	<-done
	for _, part := range []string{"start subject it: ", `it does not say "runs": it ended`, "starts", "no such module", "echo starts"} {
		if !strings.Contains(f.why, part) {
			t.Errorf("the message %q has no %q", f.why, part)
		}
	}
}

func TestOnce(t *testing.T) {
	dir := t.TempDir()
	KeepBuilds(dir)
	defer KeepBuilds("")
	var calls int
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			path, err := once(t, "it", func(d string) (string, error) { calls++; return filepath.Join(d, "x"), os.ErrExist })
			if path != filepath.Join(dir, "it", "x") || !errors.Is(err, os.ErrExist) {
				t.Errorf("%s, %v", path, err)
			}
		})
	}
	all.Wait()
	if calls != 1 {
		t.Errorf("built %d times", calls)
	}
}
