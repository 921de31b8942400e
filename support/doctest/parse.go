// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"bytes"
	"fmt"
	"strings"
)

// A Block is a fenced block of a Markdown file.
type Block struct {
	File    string // as it was given to Parse
	Line    int    // of the first line after the fence, from 1
	Section string // the heading above it, "" before the first
	Lang    string // the first word after the fence: sh, text, yaml
	Text    string // what is between the fences, with a newline at the end

	// Want is what the block has to print, for a block of sh that only blank
	// lines separate from a block of text below it. See Matches.
	Want    string
	HasWant bool

	section *Section // that notes which blocks were run
}

// Pos is where the block begins, for messages: file:line.
func (b *Block) Pos() string { return fmt.Sprintf("%s:%d", b.File, b.Line) }

// Parse returns the fenced blocks of a Markdown file, in order. Blocks of four
// or more backticks, and blocks in lists, are recognised as well; indented code
// is not. It fails for a fence that is never closed.
func Parse(file string, src []byte) ([]Block, error) {
	var (
		blocks  []Block
		section string
		open    *Block
		fence   string
		indent  int
		near    = -1 // the block of sh that the next one may be the output of
	)
	for i, line := range strings.Split(string(bytes.TrimSuffix(src, []byte("\n"))), "\n") {
		line = strings.TrimSuffix(line, "\r")
		text := strings.TrimLeft(line, " ")
		if open != nil {
			if rest, ok := strings.CutPrefix(text, fence); ok && strings.Trim(rest, "` ") == "" {
				if open.Lang == "text" && near >= 0 {
					blocks[near].Want, blocks[near].HasWant = open.Text, true
				}
				near = -1
				if open.Lang == "sh" {
					near = len(blocks)
				}
				blocks = append(blocks, *open)
				open = nil
				continue
			}
			open.Text += strings.TrimPrefix(line, line[:min(indent, len(line)-len(text))]) + "\n"
			continue
		}
		switch {
		case strings.HasPrefix(text, "```"):
			info := strings.TrimLeft(text, "`")
			if strings.Contains(info, "`") {
				near = -1 // code within a line
				continue
			}
			fence, indent = text[:len(text)-len(info)], len(line)-len(text)
			lang, _, _ := strings.Cut(strings.TrimSpace(info), " ")
			open = &Block{File: file, Line: i + 2, Section: section, Lang: lang}
		case strings.HasPrefix(line, "#"):
			if name := strings.TrimLeft(line, "#"); strings.HasPrefix(name, " ") {
				section = strings.TrimSpace(name)
			}
			near = -1
		case text != "":
			near = -1
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: the block is never closed", file, open.Line-1)
	}
	return blocks, nil
}

// Matches reports whether output is what want says: line by line, where any
// run of spaces equals any other, "…" stands for any text within a line, and a
// line of "…" alone for any number of lines. Blank lines at both ends do not count.
func Matches(want, output string) bool {
	return matchLines(lines(want), lines(output))
}

func lines(s string) []string {
	s = strings.Trim(s, "\n")
	if s == "" {
		return nil
	}
	all := strings.Split(s, "\n")
	for i, line := range all {
		all[i] = strings.Join(strings.Fields(line), " ")
	}
	return all
}

func matchLines(want, got []string) bool {
	for len(want) > 0 && want[0] != "…" {
		if len(got) == 0 || !matchLine(strings.Split(want[0], "…"), got[0]) {
			return false
		}
		want, got = want[1:], got[1:]
	}
	if len(want) == 0 {
		return len(got) == 0
	}
	for i := 0; i <= len(got); i++ {
		if matchLines(want[1:], got[i:]) {
			return true
		}
	}
	return false
}

// matchLine wants the parts in their order, the first at the start and the last at the end.
func matchLine(parts []string, line string) bool {
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return line == first
	}
	if !strings.HasPrefix(line, first) || len(line) < len(first)+len(last) || !strings.HasSuffix(line, last) {
		return false
	}
	line = line[len(first) : len(line)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(line, part)
		if at < 0 {
			return false
		}
		line = line[at+len(part):]
	}
	return true
}
