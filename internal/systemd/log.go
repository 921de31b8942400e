// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
)

// NewLogger returns the logger of a program that writes to w in a format of "text" or
// "json". Text that goes straight to the journal has a priority before each line, as
// sd-daemon(3) has it, in place of the level, and no time: the journal keeps both
// itself, so that "journalctl -p warning" finds what it should.
func NewLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	switch {
	case format == "json":
		return slog.New(slog.NewJSONHandler(w, o))
	case isJournal(w, os.Getenv("JOURNAL_STREAM")):
		return slog.New(newJournal(w, level))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// isJournal reports whether w is the stream that systemd made for the journal. The
// variable names it by device and inode, because it is inherited by programs whose
// output goes elsewhere.
func isJournal(w io.Writer, variable string) bool {
	f, ok := w.(*os.File)
	if !ok || variable == "" {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && variable == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// journal writes lines with priorities: each of its handlers has one of them.
type journal struct {
	level                           slog.Leveler
	debug, info, warning, erroneous slog.Handler
}

func newJournal(w io.Writer, level slog.Leveler) *journal {
	with := func(priority string) slog.Handler {
		return slog.NewTextHandler(prioritized{w, priority}, &slog.HandlerOptions{
			Level: level,
			ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				_, isLevel := a.Value.Any().(slog.Level)
				if len(groups) == 0 && (a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime || a.Key == slog.LevelKey && isLevel) {
					return slog.Attr{}
				}
				return a
			},
		})
	}
	return &journal{level, with("<7>"), with("<6>"), with("<4>"), with("<3>")}
}

// prioritized puts a priority before what is written in one piece, which is a line.
type prioritized struct {
	io.Writer
	priority string
}

// Write implements [io.Writer].
func (p prioritized) Write(line []byte) (int, error) {
	n, err := p.Writer.Write(append([]byte(p.priority), line...))
	return max(n-len(p.priority), 0), err
}

// Enabled implements [slog.Handler].
func (j *journal) Enabled(_ context.Context, level slog.Level) bool {
	return level >= j.level.Level()
}

// Handle implements [slog.Handler].
func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case r.Level >= slog.LevelError:
		return j.erroneous.Handle(ctx, r)
	case r.Level >= slog.LevelWarn:
		return j.warning.Handle(ctx, r)
	case r.Level >= slog.LevelInfo:
		return j.info.Handle(ctx, r)
	}
	return j.debug.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (j *journal) WithAttrs(a []slog.Attr) slog.Handler {
	return j.each(func(h slog.Handler) slog.Handler { return h.WithAttrs(a) })
}

// WithGroup implements [slog.Handler].
func (j *journal) WithGroup(name string) slog.Handler {
	return j.each(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (j *journal) each(f func(slog.Handler) slog.Handler) slog.Handler {
	return &journal{j.level, f(j.debug), f(j.info), f(j.warning), f(j.erroneous)}
}
