// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"strings"
)

// inForce are settings of a package that are not the program's own defaults.
var inForce = map[string]string{
	"collectionagent": "data-dir: /var/lib/strobe/collectionagent\n",
}

// lineWidth is that of comments in files of settings.
const lineWidth = 100

// settingsFile turns what -print-config of a program says into a file that lists every
// setting with its default, as a comment: one that is not touched changes nothing.
func settingsFile(program string, printed []byte) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, `# Settings of strobe-%[1]s. A line of "#name: value" shows the default; take the
# "#" away to set it. Check with: strobe-%[1]s -check-config -config FILE
# Flags of the command line and variables in %[1]s.env go before what is here.
`, program)
	force := inForce[program]
	for line := range strings.Lines(string(printed)) {
		line = strings.TrimRight(line, "\n")
		comment, isComment := strings.CutPrefix(line, "# ")
		name, _, _ := strings.Cut(line, ":")
		switch {
		case isComment:
			out.WriteString("\n")
			wrap(&out, comment)
		case strings.HasPrefix(force, name+":"):
			out.WriteString(force)
		case line != "":
			out.WriteString("#" + line + "\n")
		}
	}
	return out.Bytes()
}

// wrap writes a comment on as many lines as it takes.
func wrap(out *bytes.Buffer, text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > lineWidth && line != "#" {
			out.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	out.WriteString(line + "\n")
}
