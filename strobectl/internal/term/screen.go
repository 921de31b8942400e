// SPDX-License-Identifier: Apache-2.0

package term

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// Screen is a terminal that a program has for itself, until it is closed.
type Screen struct {
	in    *os.File
	out   *Out
	state *term.State
	once  sync.Once
	last  []string
	width int
}

// ErrNoTerminal says that there is none to draw on.
var ErrNoTerminal = errors.New("this needs a terminal")

// OpenScreen takes a terminal over: it shows a screen of its own, without a cursor, and
// keys come as they are pressed. Close gives it back, and must be called however the
// program ends.
func OpenScreen(in io.Reader, out *Out) (*Screen, error) {
	f, ok := in.(*os.File)
	if !ok || !out.TTY || !term.IsTerminal(int(f.Fd())) { //nolint:gosec // a descriptor
		return nil, ErrNoTerminal
	}
	state, err := term.MakeRaw(int(f.Fd())) //nolint:gosec // a descriptor
	if err != nil {
		return nil, err
	}
	s := &Screen{in: f, out: out, state: state}
	if _, err = io.WriteString(out, enterScreen); err != nil {
		s.Close()
	}
	return s, err
}

// What takes a screen over, and what gives it back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
	leaveScreen = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// Suspend gives the terminal to the shell, as Ctrl-Z does in other programs, and takes it
// over again when the shell lets the program go on.
func (s *Screen) Suspend() error {
	if _, err := io.WriteString(s.out, leaveScreen); err != nil {
		return err
	}
	if err := term.Restore(int(s.in.Fd()), s.state); err != nil { //nolint:gosec // a descriptor
		return err
	}
	suspend()
	return s.Resume()
}

// Resume takes the terminal over once more, after another program had it.
func (s *Screen) Resume() error {
	if _, err := term.MakeRaw(int(s.in.Fd())); err != nil { //nolint:gosec // a descriptor
		return err
	}
	s.Redraw()
	_, err := io.WriteString(s.out, enterScreen)
	return err
}

// Close gives the terminal back as it was. It may be called more than once, from any goroutine.
func (s *Screen) Close() {
	s.once.Do(func() {
		_, _ = io.WriteString(s.out, leaveScreen) // there may be nobody any more
		_ = term.Restore(int(s.in.Fd()), s.state) //nolint:gosec // a descriptor
	})
}

// Redraw makes the next Show write all lines anew.
func (s *Screen) Redraw() { s.last = nil }

// Show writes lines from the top. Only those that changed are written, all at once, so
// that nothing flickers. Lines must not be wider than the screen.
func (s *Screen) Show(lines []string) error {
	var b strings.Builder
	width, height := s.out.Size()
	if s.last == nil || s.width != width {
		b.WriteString("\x1b[2J")
		s.last, s.width = nil, width
	}
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	for i, line := range lines {
		if i < len(s.last) && s.last[i] == line {
			continue
		}
		b.WriteString("\x1b[" + itoa(i+1) + ";1H\x1b[0m" + line + "\x1b[0m\x1b[K")
	}
	if len(lines) < len(s.last) {
		b.WriteString("\x1b[" + itoa(len(lines)+1) + ";1H\x1b[J")
	}
	s.last = append([]string(nil), lines...)
	_, err := io.WriteString(s.out, b.String())
	return err
}

// Keys sends what is pressed until the terminal is gone; then the channel is closed. A
// read of a terminal cannot be ended: the goroutine stays until a key is pressed.
func (s *Screen) Keys() <-chan Key {
	bytes := make(chan []byte)
	go func() {
		defer close(bytes)
		for {
			b := make([]byte, 256)
			n, err := s.in.Read(b)
			if n > 0 {
				bytes <- b[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	keys := make(chan Key)
	go func() {
		defer close(keys)
		var pending []byte
		for b := range bytes {
			pending = append(pending, b...)
			for len(pending) > 0 {
				// A terminal sends a sequence at once: an escape character that comes
				// alone is the key.
				key, n := ReadKey(pending, len(pending) == 1)
				if n == 0 {
					break
				}
				pending = pending[n:]
				keys <- key
			}
		}
	}()
	return keys
}
