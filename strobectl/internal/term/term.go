// SPDX-License-Identifier: Apache-2.0

// Package term is what is known of a terminal, and how text is made to fit it.
package term

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// Depth is how many colours a terminal has.
type Depth int

// The depths.
const (
	NoColour Depth = iota
	Colours16
	Colours256
	TrueColour
)

// Out is where text goes, and what it may look like.
type Out struct {
	io.Writer
	// TTY is set when it is a terminal that people look at.
	TTY    bool
	Colour Depth
	// Unicode is set when more than ASCII may be written.
	Unicode bool
	// Width is in columns.
	Width int
	file  *os.File
}

// DefaultWidth is that of what is no terminal.
const DefaultWidth = 100

// NewOut looks at what w is. when is the flag -color: auto, always or never; getenv
// is os.Getenv.
func NewOut(w io.Writer, when string, getenv func(string) string) *Out {
	o := &Out{Writer: w, Width: DefaultWidth}
	name := getenv("TERM")
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a descriptor
		o.file, o.TTY = f, name != "dumb"
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 { //nolint:gosec // a descriptor
			o.Width = width
		}
	}
	if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n > 0 && n < 10000 && o.file == nil {
		o.Width = n
	}
	o.Width = max(o.Width, 20)
	// What is no terminal gets UTF-8 as files do; a terminal what its locale says.
	o.Unicode = o.file == nil || utf8Locale(getenv) && name != "dumb" && name != "linux"
	if !o.Unicode {
		o.Writer = ascii{w}
	}
	if when == "always" || when == "auto" && o.TTY && getenv("NO_COLOR") == "" {
		o.Colour = depth(name, getenv("COLORTERM"))
		if when == "always" && o.Colour == NoColour {
			o.Colour = Colours16
		}
	}
	return o
}

func depth(name, colorterm string) Depth {
	switch {
	case colorterm == "truecolor" || colorterm == "24bit":
		return TrueColour
	case strings.Contains(name, "256color") || strings.Contains(name, "direct"):
		return Colours256
	case name == "" || name == "dumb" || strings.HasPrefix(name, "vt"):
		return NoColour
	}
	return Colours16
}

func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// Size returns the size of the terminal now, 0 and 0 if it is none.
func (o *Out) Size() (width, height int) {
	if o.file == nil {
		return 0, 0
	}
	width, height, err := term.GetSize(int(o.file.Fd())) //nolint:gosec // a descriptor
	if err != nil {
		return 0, 0
	}
	return width, height
}

// Terminal reports whether w is a terminal that can rewrite a line.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())) //nolint:gosec // a descriptor
}

// Style is how text looks. The zero value is as it is.
type Style struct {
	Bold, Faint, Reverse bool
	// FG and BG are colours, nil for those of the terminal.
	FG, BG *Colour
}

// Colour is a colour, with the nearest of the 16 that terminals name.
type Colour struct {
	R, G, B byte
	Basic   byte // 0 to 15
}

// The colours of what is good and bad; people who tell red from green badly can tell these.
var (
	Worse  = &Colour{224, 108, 40, 9}
	Better = &Colour{64, 148, 232, 12}
	Accent = &Colour{40, 160, 168, 6}
	Warn   = &Colour{214, 160, 32, 11}
)

// Paint returns text in a style, if the terminal has any.
func (o *Out) Paint(s Style, text string) string {
	if o.Colour == NoColour || text == "" {
		return text
	}
	code := o.Code(s)
	if code == "" {
		return text
	}
	return code + text + "\x1b[0m"
}

// Code returns what turns a style on, "" for none.
func (o *Out) Code(s Style) string {
	if o.Colour == NoColour {
		return ""
	}
	var codes []string
	for code, on := range []bool{1: s.Bold, 2: s.Faint, 7: s.Reverse} {
		if on {
			codes = append(codes, strconv.Itoa(code))
		}
	}
	if s.FG != nil {
		codes = append(codes, o.colour(s.FG, 38, 30, 90))
	}
	if s.BG != nil {
		codes = append(codes, o.colour(s.BG, 48, 40, 100))
	}
	if len(codes) == 0 {
		return ""
	}
	return "\x1b[" + strings.Join(codes, ";") + "m"
}

func (o *Out) colour(c *Colour, extended, basic, bright int) string {
	switch o.Colour {
	case TrueColour:
		return fmt.Sprintf("%d;2;%d;%d;%d", extended, c.R, c.G, c.B)
	case Colours256:
		level := func(v byte) int { // of the cube of 6x6x6
			if v < 48 {
				return 0
			}
			return max(1, (int(v)-35)/40)
		}
		return fmt.Sprintf("%d;5;%d", extended, 16+36*level(c.R)+6*level(c.G)+level(c.B))
	}
	if c.Basic >= 8 {
		return strconv.Itoa(bright + int(c.Basic) - 8)
	}
	return strconv.Itoa(basic + int(c.Basic))
}

func itoa(n int) string { return strconv.Itoa(n) }
