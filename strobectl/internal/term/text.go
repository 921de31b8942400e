// SPDX-License-Identifier: Apache-2.0

package term

import (
	"strings"
	"unicode"
)

// Clean returns text that does nothing to a terminal: names of functions and labels
// come from programs of anybody. What controls terminals, and what turns the direction
// of text, is shown as a question mark.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return ' '
		case unicode.IsControl(r) || r == unicode.ReplacementChar,
			unicode.Is(unicode.Bidi_Control, r), r == 0x2028, r == 0x2029, r == 0xfeff:
			return '?'
		}
		return r
	}, s)
}

// wide are the letters that take two columns: East Asian ones and pictures.
var wide = []struct{ from, to rune }{
	{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f},
	{0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd},
}

func runeWidth(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	for _, w := range wide {
		if r >= w.from && r <= w.to {
			return 2
		}
	}
	return 1
}

// Width returns how many columns text takes that has no control sequences in it.
func Width(s string) (n int) {
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// cut returns as much of the start of text as fits, and how wide that is.
func cut(s string, width int) (string, int) {
	n := 0
	for i, r := range s {
		w := runeWidth(r)
		if n+w > width {
			return s[:i], n
		}
		n += w
	}
	return s, n
}

// tail returns as much of the end of text as fits.
func tail(s string, width int) string {
	runes := []rune(s)
	n, i := 0, len(runes)
	for i > 0 && n+runeWidth(runes[i-1]) <= width {
		i--
		n += runeWidth(runes[i])
	}
	return string(runes[i:])
}

// Fit returns text that takes at most so many columns: its start and its end, which
// for a function tell most, with an ellipsis between them.
func (o *Out) Fit(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	ellipsis := "…"
	if !o.Unicode {
		ellipsis = ".."
	}
	room := width - Width(ellipsis)
	if room < 4 {
		s, _ = cut(s, max(width, 0))
		return s
	}
	head, n := cut(s, (room+1)/2)
	return head + ellipsis + tail(s, room-n)
}

// FitName is Fit for a function: arguments and template arguments, which are long and
// say little, go first.
func (o *Out) FitName(name string, width int) string {
	if Width(name) <= width {
		return name
	}
	for _, pair := range []string{"()", "<>"} {
		if short := strip(name, pair[0], pair[1]); short != name {
			name = short
			if Width(name) <= width {
				return name
			}
		}
	}
	return o.Fit(name, width)
}

// strip leaves out what is in brackets that follow a name: f(int) is f(), but (anonymous
// namespace)::f and operator() stay.
func strip(s string, open, end byte) string {
	var b strings.Builder
	depth := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == open && (depth > 0 || i > 0 && isNameByte(s[i-1]) && !strings.HasSuffix(s[:i], "operator") || strings.HasSuffix(s[:i], "operator()")):
			if depth == 0 {
				b.WriteByte(c)
			}
			depth++
		case c == end && depth > 0:
			if depth--; depth == 0 {
				b.WriteByte(c)
			}
		case depth == 0:
			b.WriteByte(c)
		}
	}
	if depth > 0 {
		return s // the brackets are something else
	}
	return b.String()
}

func isNameByte(c byte) bool {
	return c == '_' || c == '>' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// Pad returns text with spaces behind it that make it so many columns wide.
func Pad(s string, width int) string {
	if n := width - Width(s); n > 0 {
		return s + strings.Repeat(" ", n)
	}
	return s
}

// PadLeft returns text with spaces before it that make it so many columns wide.
func PadLeft(s string, width int) string {
	if n := width - Width(s); n > 0 {
		return strings.Repeat(" ", n) + s
	}
	return s
}

// Bar returns a bar for a share from 0 to 1 in so many columns, without spaces behind it.
func (o *Out) Bar(share float64, width int) string {
	share = min(max(share, 0), 1)
	if !o.Unicode {
		return strings.Repeat("#", int(share*float64(width)+0.5))
	}
	eighths := int(share*float64(width)*8 + 0.5)
	if eighths == 0 && share > 0 {
		eighths = 1
	}
	s := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return s
}
