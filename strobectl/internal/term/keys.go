// SPDX-License-Identifier: Apache-2.0

package term

import "unicode/utf8"

// Key is a key that was pressed: a letter, or one of the names below.
type Key string

// The keys that are no letters.
const (
	KeyUp        Key = "up"
	KeyDown      Key = "down"
	KeyLeft      Key = "left"
	KeyRight     Key = "right"
	KeyPageUp    Key = "page up"
	KeyPageDown  Key = "page down"
	KeyHome      Key = "home"
	KeyEnd       Key = "end"
	KeyEnter     Key = "enter"
	KeyEscape    Key = "escape"
	KeyBackspace Key = "backspace"
	KeyInterrupt Key = "interrupt" // Ctrl-C
	KeyRedraw    Key = "redraw"    // Ctrl-L
	KeySuspend   Key = "suspend"   // Ctrl-Z
	KeyKill      Key = "kill"      // Ctrl-U
	KeyTab       Key = "tab"
	KeyUnknown   Key = "unknown"
)

var sequences = map[string]Key{
	"A": KeyUp, "B": KeyDown, "C": KeyRight, "D": KeyLeft, "H": KeyHome, "F": KeyEnd,
	"5~": KeyPageUp, "6~": KeyPageDown, "1~": KeyHome, "4~": KeyEnd, "7~": KeyHome, "8~": KeyEnd,
}

// ReadKey takes the first key off what a terminal sent. n is how many bytes it was, 0
// when more has to come. final says that nothing more comes soon: then an escape
// character is the key of that name.
func ReadKey(b []byte, final bool) (key Key, n int) {
	if len(b) == 0 {
		return "", 0
	}
	switch c := b[0]; {
	case c == 0x1b:
		return readEscape(b, final)
	case c == '\r' || c == '\n':
		return KeyEnter, 1
	case c == 0x7f || c == 0x08:
		return KeyBackspace, 1
	case c == 0x03:
		return KeyInterrupt, 1
	case c == 0x0c:
		return KeyRedraw, 1
	case c == 0x1a:
		return KeySuspend, 1
	case c == 0x15:
		return KeyKill, 1
	case c == '\t':
		return KeyTab, 1
	case c < 0x20:
		return KeyUnknown, 1
	}
	if !utf8.FullRune(b) && !final {
		return "", 0
	}
	r, size := utf8.DecodeRune(b)
	if r == utf8.RuneError {
		return KeyUnknown, size
	}
	return Key(b[:size]), size
}

// readEscape reads a sequence: ESC [ parameters final, or ESC O final.
func readEscape(b []byte, final bool) (Key, int) {
	if len(b) == 1 {
		if final {
			return KeyEscape, 1
		}
		return "", 0
	}
	if b[1] != '[' && b[1] != 'O' {
		return KeyEscape, 1 // and what follows is a key of its own
	}
	for i := 2; i < len(b); i++ {
		if c := b[i]; c >= 0x40 && c <= 0x7e {
			if key, ok := sequences[string(b[2:i+1])]; ok {
				return key, i + 1
			}
			return KeyUnknown, i + 1
		} else if c < 0x20 || c > 0x7e || i > 32 {
			return KeyUnknown, i
		}
	}
	if final {
		return KeyUnknown, len(b)
	}
	return "", 0
}
