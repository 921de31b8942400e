// SPDX-License-Identifier: Apache-2.0

package term

import (
	"io"
	"strings"
)

// ascii writes text to a terminal that knows nothing else: what is not ASCII is replaced,
// by as many columns as it was taken to have. Each call has whole letters.
type ascii struct{ io.Writer }

// plain are letters of our own that have a likeness.
var plain = map[rune]string{'µ': "u", '…': "."}

func (a ascii) Write(b []byte) (int, error) {
	var out strings.Builder
	for _, r := range string(b) {
		switch text, ok := plain[r]; {
		case r < 0x80:
			out.WriteRune(r)
		case ok:
			out.WriteString(text)
		default:
			out.WriteString(strings.Repeat("?", runeWidth(r)))
		}
	}
	if _, err := io.WriteString(a.Writer, out.String()); err != nil {
		return 0, err
	}
	return len(b), nil
}
