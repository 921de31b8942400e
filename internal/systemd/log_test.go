// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestJournalLines(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log := slog.New(newJournal(&out, slog.LevelInfo))
	log.Debug("not this")
	log.Info("ready", "http", "127.0.0.1:7070", "time", "now", "level", 5)
	log.With("a", 1).Warn("two\nlines")
	log.WithGroup("g").Error("bad", "level", "x")
	const want = "<6>msg=ready http=127.0.0.1:7070 time=now level=5\n" +
		"<4>msg=\"two\\nlines\" a=1\n" +
		"<3>msg=bad g.level=x\n"
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	slog.New(newJournal(&out, slog.LevelDebug)).Debug("this")
	if out.String() != "<7>msg=this\n" {
		t.Error(out.String())
	}
}

// TestNewLogger writes to a file that is the journal's stream, and to one that is not.
func TestNewLogger(t *testing.T) {
	f := func(format string, journal bool, want string) {
		t.Helper()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close() //nolint:errcheck // a test
		info, err := w.Stat()
		if err != nil {
			t.Fatal(err)
		}
		s := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert,errcheck // of this system
		variable := "8:1"
		if journal {
			variable = fmt.Sprintf("%d:%d", s.Dev, s.Ino)
		}
		t.Setenv("JOURNAL_STREAM", variable)
		NewLogger(w, format, slog.LevelInfo).Info("hello")
		_ = w.Close()
		out, err := io.ReadAll(r)
		if err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("%s, journal %v: %q, %v", format, journal, out, err)
		}
	}
	f("text", true, "<6>msg=hello\n")
	f("text", false, "time=")
	f("json", true, `{"time":`)
	f("json", false, `{"time":`)
	if isJournal(&strings.Builder{}, "8:1") || isJournal(os.Stderr, "") {
		t.Error("found a journal")
	}
}
