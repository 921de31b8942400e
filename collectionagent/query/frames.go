// SPDX-License-Identifier: Apache-2.0

package query

import (
	"regexp"
	"slices"
	"strings"
)

const (
	// maxStackConditions bounds the work that a text from outside can cause.
	maxStackConditions = 16
	maxCallSite        = 256
)

// FrameField is what a condition on a frame is about.
type FrameField uint8

// Fields of frames.
const (
	FrameFunction FrameField = iota
	FrameFile
	FrameBinary
	FrameKind
)

var frameFields = map[string]FrameField{
	"function": FrameFunction, "file": FrameFile, "binary": FrameBinary, "kind": FrameKind,
}

// FrameOp is how a condition on a frame compares.
type FrameOp uint8

// Operators of conditions on frames.
const (
	FrameEqual    FrameOp = iota
	FrameContains         // *=
	FramePrefix           // ^=
	FrameRegexp           // =~, anchored at both ends
)

// FrameCondition is a condition on a frame.
type FrameCondition struct {
	Field FrameField
	Op    FrameOp
	Not   bool // the comparison must fail
	Value string
	re    *regexp.Regexp
}

// matches reports whether a function meets the condition.
func (c *FrameCondition) matches(f *Function) bool {
	text := f.Name
	switch c.Field {
	case FrameFile:
		text = f.File
	case FrameBinary:
		text = f.Binary
	case FrameKind:
		text = f.Kind
	}
	var is bool
	switch c.Op {
	case FrameEqual:
		is = text == c.Value
	case FrameContains:
		is = strings.Contains(text, c.Value)
	case FramePrefix:
		is = strings.HasPrefix(text, c.Value)
	default:
		is = c.re.MatchString(text)
	}
	return is != c.Not
}

// FramePattern is a list of conditions on one frame that all hold. An inlined call
// is a frame like any other here.
type FramePattern []FrameCondition

func (p FramePattern) matches(f *Function) bool {
	for i := range p {
		if !p[i].matches(f) {
			return false
		}
	}
	return true
}

// StackCondition says that a stack has a frame of a pattern, or that it has none.
type StackCondition struct {
	Pattern FramePattern
	Not     bool
}

// ParseFramePattern reads a pattern, in the form of a selector:
//
//	{function="work",binary*="libc"}
//
// The fields are function, file, binary and kind. Beside the operators of
// [ParseSelector] there are *= for text that contains the value and ^= for text
// that starts with it, and !* and !^ for text that does not. An empty text is no
// pattern. Errors are a [*SyntaxError].
func ParseFramePattern(s string) (FramePattern, error) {
	conditions, err := parseFrames(s, false)
	if err != nil || len(conditions) == 0 {
		return nil, err
	}
	return conditions[0].Pattern, nil
}

// ParseStackConditions reads conditions that all hold: patterns as those of
// [ParseFramePattern], each for stacks that have such a frame, or with a ! in
// front for stacks that have none:
//
//	{function*="malloc"} !{file^="/usr/include/"}
//
// A comma may stand between them. Errors are a [*SyntaxError].
func ParseStackConditions(s string) ([]StackCondition, error) { return parseFrames(s, true) }

// parseFrames reads one pattern, or a list of conditions.
func parseFrames(s string, list bool) ([]StackCondition, error) {
	if len(s) > maxSelectorBytes {
		return nil, syntaxErrorf(maxSelectorBytes, "longer than %d bytes", maxSelectorBytes)
	}
	p := &selectorParser{text: s}
	var out []StackCondition
	for p.space(); !p.end(); p.space() {
		if len(out) > 0 && (!list || len(out) == maxStackConditions) {
			if !list {
				return nil, p.unexpected("the end")
			}
			return nil, syntaxErrorf(p.pos, "more than %d conditions", maxStackConditions)
		}
		c := StackCondition{Not: list && p.accept("!")}
		var err error
		if c.Pattern, err = p.pattern(); err != nil {
			return nil, err
		}
		out = append(out, c)
		p.space()
		if at := p.pos; list && p.accept(",") {
			if p.space(); p.end() {
				return nil, syntaxErrorf(at, "comma behind the last condition")
			}
		}
	}
	return out, nil
}

// pattern reads a pattern.
func (p *selectorParser) pattern() (FramePattern, error) {
	if err := p.expect("{", "{"); err != nil {
		return nil, err
	}
	var out FramePattern
	for {
		p.space()
		if at := p.pos; p.accept("}") {
			if len(out) == 0 {
				return nil, syntaxErrorf(at, "expected a condition such as function=\"work\"")
			}
			return out, nil
		}
		if len(out) == maxMatchers {
			return nil, syntaxErrorf(p.pos, "more than %d conditions on a frame", maxMatchers)
		}
		c, err := p.frameCondition()
		if err != nil {
			return nil, err
		}
		out = append(out, c)
		p.space()
		if !p.accept(",") && !strings.HasPrefix(p.rest(), "}") {
			return nil, p.unexpected(", or }")
		}
	}
}

var frameOperators = []struct {
	text string
	op   FrameOp
	not  bool
}{
	{"=~", FrameRegexp, false},
	{"!~", FrameRegexp, true},
	{"*=", FrameContains, false},
	{"!*", FrameContains, true},
	{"^=", FramePrefix, false},
	{"!^", FramePrefix, true},
	{"!=", FrameEqual, true},
	{"=", FrameEqual, false},
}

func (p *selectorParser) frameCondition() (c FrameCondition, err error) {
	start := p.pos
	name, err := p.name()
	if err != nil {
		return c, err
	}
	field, ok := frameFields[name]
	if !ok {
		return c, syntaxErrorf(start, "unknown field %q: expected function, file, binary or kind", name)
	}
	c.Field = field
	p.space()
	i := slices.IndexFunc(frameOperators, func(o struct {
		text string
		op   FrameOp
		not  bool
	}) bool {
		return p.accept(o.text)
	})
	if i < 0 {
		return c, p.unexpected("=, !=, =~, !~, *=, !*, ^= or !^")
	}
	c.Op, c.Not = frameOperators[i].op, frameOperators[i].not
	p.space()
	start = p.pos
	if c.Value, err = p.quoted("a value in quotes"); err != nil || c.Op != FrameRegexp {
		return c, err
	}
	if err := p.checkRegexp(start, name, c.Value); err != nil {
		return c, err
	}
	if c.re, err = regexp.Compile("^(?:" + c.Value + ")$"); err != nil {
		return c, syntaxErrorf(start, "regular expression of %s: %s", name, regexpMessage(err))
	}
	return c, nil
}

// ParseCallSite reads the names of functions that stacks start with, outermost
// first, with semicolons between them; a name that holds a semicolon, or starts
// with a quote or a space, is in quotes as the values of selectors are. Errors are
// a [*SyntaxError].
func ParseCallSite(s string) ([]string, error) {
	if len(s) > maxSelectorBytes {
		return nil, syntaxErrorf(maxSelectorBytes, "longer than %d bytes", maxSelectorBytes)
	}
	p := &selectorParser{text: s}
	if p.space(); p.end() {
		return nil, nil
	}
	var names []string
	for {
		p.space()
		if len(names) == maxCallSite {
			return nil, syntaxErrorf(p.pos, "more than %d functions", maxCallSite)
		}
		start, name := p.pos, ""
		if !p.end() && strings.IndexByte("\"'`", p.text[p.pos]) >= 0 {
			var err error
			if name, err = p.quoted("a function"); err != nil {
				return nil, err
			}
			p.space()
		} else {
			n := strings.IndexByte(p.rest(), ';')
			if n < 0 {
				n = len(p.rest())
			}
			name = strings.TrimRight(p.rest()[:n], " \t\r\n")
			p.pos += n
		}
		if name == "" {
			return nil, syntaxErrorf(start, "expected the name of a function")
		}
		names = append(names, name)
		if p.end() {
			return names, nil
		}
		if err := p.expect(";", "; or the end"); err != nil {
			return nil, err
		}
	}
}
